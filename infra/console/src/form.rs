use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use percent_encoding::percent_decode_str;

use crate::access::FormToken;
use crate::pages::Failure;

/// The name of the field that carries the token.
pub(crate) const TOKEN: &str = "form_token";

/// The fields of a form that this session's page has sent.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The text of a field without the space around it; empty if the form has no such field.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.trim())
    }

    /// The texts of all fields of this name, without empty ones.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = self.0.iter().filter(move |(field, _)| field == name);
        of_name.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// An option of a subcommand, for each field of this name that is not empty: `--name=TEXT`. The text
    /// cannot be taken for another option.
    pub(crate) fn options(&self, field: &str, option: &str) -> impl Iterator<Item = String> {
        self.texts(field).map(|value| format!("--{option}={value}")).collect::<Vec<_>>().into_iter()
    }

    /// An option without a value, if the field is checked.
    pub(crate) fn flag(&self, field: &str, option: &str) -> Option<String> {
        (!self.text(field).is_empty()).then(|| format!("--{option}"))
    }

    fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let fields = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        fields.collect::<Option<_>>().map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let token = request.extensions().get::<FormToken>().cloned().ok_or(Failure::NoSession)?;
        let body = Bytes::from_request(request, state).await.map_err(|_| Failure::Form)?;
        let fields = Self::read(&body).ok_or(Failure::Form)?;
        if token.is(fields.text(TOKEN)) { Ok(fields) } else { Err(Failure::ForeignForm) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_become_options() {
        let fields =
            Fields::read("name=B%C3%BCro+2026&product=1&product=&product=2&all=on".as_bytes()).unwrap();
        assert_eq!(fields.text("name"), "Büro 2026");
        assert_eq!(fields.options("product", "product").collect::<Vec<_>>(), ["--product=1", "--product=2"]);
        assert_eq!(
            (fields.flag("all", "all").as_deref(), fields.flag("none", "none")),
            (Some("--all"), None)
        );
        assert!(Fields::read(b"name=%ff").is_none(), "not UTF-8");
    }
}
