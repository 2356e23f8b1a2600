use crate::ShopResponse;

/// The promise of a 503 about the request, from the `type` of its problem details. In order from the
/// strongest promise to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// `nothing-was-sold`: the request sold nothing, and never will.
    NothingSold,
    /// `outcome-unknown`: the request may have sold keys, or may still sell them.
    OutcomeUnknown,
    /// Any other type: the response leaves the outcome open.
    Untyped,
}

impl Promise {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::NothingSold, Self::OutcomeUnknown, Self::Untyped];

    /// Reads a 503. Returns `None` for any other response.
    #[must_use]
    pub fn of(response: &ShopResponse) -> Option<Self> {
        if response.status != 503 {
            return None;
        }
        let problem: serde_json::Value = serde_json::from_str(&response.text).unwrap_or_default();
        let uri = problem["type"].as_str().unwrap_or_default();
        Some(match uri.rsplit('/').next() {
            Some("nothing-was-sold") => Self::NothingSold,
            Some("outcome-unknown") => Self::OutcomeUnknown,
            _ => Self::Untyped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_is_read_by_its_type() {
        let promise = |status, text: &str| {
            Promise::of(&ShopResponse {
                status,
                content_type: "application/problem+json".to_owned(),
                retry_after: None,
                request_id: None,
                text: text.to_owned(),
            })
        };
        let nothing = r#"{"type":"https://keypool.example/problems/nothing-was-sold","status":503}"#;
        let unknown = r#"{"type":"https://keypool.example/problems/outcome-unknown","status":503}"#;
        assert_eq!(promise(503, nothing), Some(Promise::NothingSold));
        assert_eq!(promise(503, unknown), Some(Promise::OutcomeUnknown));
        for text in [r#"{"type":"about:blank","status":503}"#, r#"{"type":"not-nothing-was-sold"}"#, "{}", ""]
        {
            assert_eq!(promise(503, text), Some(Promise::Untyped), "{text}");
        }
        assert_eq!(promise(500, nothing), None);
        assert_eq!(promise(200, "{}"), None);
    }
}
