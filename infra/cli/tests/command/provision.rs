//! Products, generators and API keys.

use crate::harness::{Local, fails, ok, run, text};

#[tokio::test]
async fn a_shop_is_set_up_without_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = fails(path, &["product", "list"], 1);
    assert!(
        said.contains("start one with `keypool local`, or name one on AWS with --stack or --table"),
        "{said}"
    );

    let local = Local::start(path, &["--port", "0"]);
    assert_eq!(ok(path, &["product", "create", "--name", "Büro 2026"]), "product 4 created\n");
    assert_eq!(ok(path, &["product", "create", "--name", "Office", "--id", "42"]), "product 42 created\n");
    let said = fails(path, &["product", "create", "--name", "Office", "--id", "42"], 1);
    assert_eq!(said, "error: there is a product 42 already\n");
    let chunks = ["generator", "create", "--product", "42", "--method", "chunk-system"];
    let weak = [&chunks[..], &["--chunks", "2", "--chunk-length", "2"]].concat();
    let said = fails(path, &weak, 1);
    assert!(said.starts_with("error: this generator is refused: its keys could be guessed"), "{said}");
    let created = ok(path, &[&chunks[..], &["--prefix", "OFF-", "--validity", "30"]].concat());
    assert_eq!(created, "generator 3 created; now the one of product 42\n");
    let said = fails(path, &["product", "create", "--name", "x", "--signing-key", "alias/nope"], 1);
    assert!(
        said.starts_with("error: alias/nope cannot be used as a signing key: GetPublicKey: KMS refuses"),
        "{said}"
    );
    let own = ["product", "create", "--name", "x", "--signing-key", "alias/keypool-product-2"];
    assert_eq!(ok(path, &own), "product 5 created\n");
    let said = fails(path, &["generator", "create", "--product", "42", "--chunks", "4"], 1);
    assert!(said.contains("are for --method chunk-system"), "{said}");
    let said = fails(path, &["generator", "create", "--product", "77"], 1);
    assert_eq!(said, "error: there is no product 77\n");

    let products = ok(path, &["product", "list"]);
    assert_eq!(products.lines().count(), 7, "{products}");
    assert!(products.lines().nth(6).unwrap().starts_with("42  Office"), "{products}");
    assert!(ok(path, &["generator", "list"]).contains("chunk-system  2^80"));

    let create =
        ["api-key", "create", "--name", "checkout", "--capability", "generate", "--network", "127.0.0.0/8"];
    let output = run(path, &create);
    let secret = text(&output.stdout).trim_end().to_owned();
    assert!(text(&output.stderr).contains("shown this once"));
    let listed = ok(path, &["api-key", "list"]);
    assert!(listed.contains("checkout") && listed.contains("127.0.0.0/8") && !listed.contains(&secret));

    let made =
        local.post("generate", &[("api_key", &secret), ("generator_id", "3"), ("quantity", "2")]).await;
    assert_eq!(made["code"], 815);
    assert!(made["licenseKeys"][0].as_str().unwrap().starts_with("OFF-"));
    let refused = local.post("assign-license-key", &[("api_key", &secret), ("license_key", "x")]).await;
    assert_eq!(refused["code"], 102);

    let (_, _, log) = local.stop();
    assert!(log.contains("\"endpoint\":\"generate\"") && !log.contains(&secret), "{log}");
    let said = fails(path, &["product", "list"], 1);
    assert!(said.contains("no stack runs"), "{said}");
}
