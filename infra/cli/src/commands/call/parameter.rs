use std::fs;
use std::path::Path;
use std::str::FromStr;

/// A parameter of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(super) name: String,
    pub(super) value: String,
}

/// The largest file. The API accepts no larger body.
const FILE_BYTES_MAX: u64 = 1_048_576;

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE, or NAME=@FILE")?;
        match name {
            "" => return Err("must have a name before the =".to_owned()),
            "api_key" => {
                return Err("must not be an argument, which stays in the shell's history: \
                            use --api-key-file or KEYPOOL_API_KEY"
                    .to_owned());
            }
            _ => {}
        }
        let value = match value.strip_prefix('@') {
            Some(path) => read(Path::new(path))?,
            None => value.to_owned(),
        };
        Ok(Self { name: name.to_owned(), value })
    }
}

/// Reads a text file, without the final line break that editors add.
fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(format!("{} is larger than 1 MiB, the limit of the API", path.display()));
    }
    let mut text = fs::read_to_string(path).map_err(failed)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_begins_after_the_first_equals_sign() {
        let parameter: Parameter = "owner_name=a=b".parse().unwrap();
        assert_eq!((parameter.name.as_str(), parameter.value.as_str()), ("owner_name", "a=b"));
        assert_eq!("x=".parse::<Parameter>().unwrap().value, "");
        for wrong in ["x", "=x", "api_key=x", "x=@/nonexistent"] {
            assert!(wrong.parse::<Parameter>().is_err(), "{wrong}");
        }
    }
}
