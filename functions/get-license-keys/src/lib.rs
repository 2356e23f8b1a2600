//! `GET` and `POST /api/v1/get-license-keys`: finds the keys of an order.

use std::sync::Arc;

use keypool_domain::requests::GetLicenseKeys;
use keypool_domain::{Endpoint, LicenseKeyRecord, Reply};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply};
use keypool_store::Lookup;
use lambda_http::{Body, Request, Response};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::GetLicenseKeys;
    type Request = GetLicenseKeys;
    type ReadAhead = ();

    fn about(_: &GetLicenseKeys) -> Lookup {
        Lookup::default()
    }

    /// Lists the keys that the API key may see. An order of another shop looks like one that does not exist.
    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        let Checked { request, found, .. } = checked;
        let api_key = found.api_key.ok_or(FunctionError::Bug("the checked API key was not read"))?;
        let count = usize::from(request.items_per_page.get());
        let skip = count * usize::from(request.page.get() - 1);
        let visible = |key: &LicenseKeyRecord| api_key.may_see(key);
        let store = invocation.desk().store();
        let keys = store.keys_of_order(&request.identifier, (skip, count), visible).await?;
        let rows = keys.into_iter().map(LicenseKeyRecord::into_listed_row).collect();
        invocation.sign_reply(&Reply::LicenseKeys(rows), None).await
    }
}
