use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Promise;

/// A response to a shop.
#[derive(Debug, Clone)]
pub struct ShopResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The header `apigw-requestid`.
    pub request_id: Option<String>,
    /// The body, byte for byte.
    pub text: String,
}

impl ShopResponse {
    /// Reads a response to its end.
    pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Ok(Self {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            request_id: header("apigw-requestid"),
            text: response.text().await?,
        })
    }

    /// Reads the response that a function returns to Lambda for API Gateway (payload 2.0).
    pub(crate) fn of_lambda(answer: &Value) -> Self {
        let header = |name: &str| answer["headers"][name].as_str().map(str::to_owned);
        Self {
            status: answer["statusCode"].as_u64().unwrap().try_into().unwrap(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            request_id: None,
            text: answer["body"].as_str().unwrap().to_owned(),
        }
    }

    /// The body.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The signed response.
    #[must_use]
    pub fn response(&self) -> Value {
        self.json()["response"].clone()
    }

    /// The signed response as text.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn response_text(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Envelope {
            response: Box<RawValue>,
        }
        serde_json::from_str::<Envelope>(&self.text).unwrap().response.get().to_owned()
    }

    /// `response.code`, or 0 without a code.
    #[must_use]
    pub fn code(&self) -> u64 {
        self.response()["code"].as_u64().unwrap_or(0)
    }

    /// Returns a text member of the envelope.
    ///
    /// # Panics
    /// If there is no such member.
    #[must_use]
    pub fn envelope_text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {}", self.text)).to_owned()
    }

    /// Returns the license keys of the response, from any endpoint.
    #[must_use]
    pub fn license_keys(&self) -> Vec<String> {
        let response = self.response();
        let generated = response["licenseKeys"].as_array().into_iter().flatten();
        let assigned =
            response["license_keys"].as_array().into_iter().flatten().map(|row| &row["license_key"]);
        generated.chain(assigned).filter_map(|key| key.as_str().map(str::to_owned)).collect()
    }

    /// Returns the HTTP status and the `type` of the problem details.
    ///
    /// # Panics
    /// If the response has no problem details.
    #[must_use]
    pub fn problem(&self) -> (u16, String) {
        let problem = self.json();
        let of_type = problem["type"].as_str().unwrap_or_else(|| panic!("no problem: {}", self.text));
        (self.status, of_type.to_owned())
    }

    /// Asserts the form of every response: an envelope or problem details. `response` equals its base64 byte
    /// for byte, and members have the contract's order.
    pub(crate) fn check_form(&self) {
        if !matches!(self.status, 200 | 401 | 429) {
            assert_eq!(self.content_type, "application/problem+json", "{}", self.text);
            assert_eq!(self.json()["status"], self.status);
            // With an unknown outcome, only a request with an `Idempotency-Key` gets the header.
            let promise = Promise::of(self);
            if promise != Some(Promise::OutcomeUnknown) {
                assert_eq!(self.retry_after.is_some(), self.status == 503, "{}", self.text);
            }
            assert_eq!(promise.is_some(), self.status == 503, "{}", self.text);
            return;
        }
        assert_eq!(self.content_type, "application/json");
        let encoded = self.envelope_text("response_base64");
        let decoded = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        assert_eq!(self.response_text(), decoded);
        assert_eq!(self.status == 401, (100..=103).contains(&self.code()), "{}", self.text);
        assert_eq!(self.status == 429, self.code() == 104, "{}", self.text);
        assert_eq!(self.status == 429, self.retry_after.is_some(), "{}", self.text);
        let crate::Shape::Object(members) = crate::Shape::of(&self.text) else { panic!("{}", self.text) };
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["response", "response_base64", "private_key_used", "signature"]);
    }
}
