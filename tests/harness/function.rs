//! Runs the function that `KEYPOOL_TESTS_FUNCTION` names, wired like the function's own `main.rs`. Tests of
//! this package cannot name the binaries of other packages.

use lambda_http::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = std::env::var("KEYPOOL_TESTS_FUNCTION")?;
    match function.as_str() {
        "create-license-keys" => keypool_function::run(create_license_keys::handle).await,
        "generate" => keypool_function::run(generate::handle).await,
        "assign-license-key" => keypool_function::run(assign_license_key::handle).await,
        "random-assign-license-keys" => keypool_function::run(random_assign_license_keys::handle).await,
        "random-assign-license-keys-queued" => {
            keypool_function::run_with_queue(random_assign_license_keys_queued::handle).await
        }
        "update-license-key" => keypool_function::run(update_license_key::handle).await,
        "replace-license-key" => keypool_function::run(replace_license_key::handle).await,
        "get-available-license-keys-count" => {
            keypool_function::run(get_available_license_keys_count::handle).await
        }
        "get-license-keys" => keypool_function::run(get_license_keys::handle).await,
        _ => Err(format!("no endpoint has a function {function}").into()),
    }
}
