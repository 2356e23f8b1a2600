use std::io::Write as _;
use std::process::Stdio;

use super::Shop;
use crate::harness::{fails, json, keypool, ok, text};

#[tokio::test]
async fn csv_text_and_json_lines_are_imported() {
    let shop = Shop::open();
    let csv = "\u{feff}Key;Validity;Note\r\nC1;30;x\r\n\"C \"\"2\"\"\";;\"two\r\nlines\"\r\n\r\nC3;0;y";
    assert_eq!(
        shop.imported("a.csv", csv, &["--validity", "7"], 0),
        ["2 C1 created", "3 C \"2\" created", "6 C3 created"]
    );
    assert_eq!(
        shop.imported("b.txt", "T1\r\n\r\n T2 \nT,3", &[], 0),
        ["1 T1 created", "3 T2 created", "4 T,3 created"]
    );
    let json = "{\"license_key\":\"J1\",\"activation_limit\":3}\n\"J2\"\n{\"serial\":\"J3\",\"status\":\"blocked\"}\n";
    assert_eq!(shop.imported("c.jsonl", json, &[], 0), ["1 J1 created", "2 J2 created", "3 J3 created"]);
    // Without a known extension, the content decides.
    assert_eq!(shop.imported("d", "license key\tvalidity\nD1\t5\n", &[], 0), ["2 D1 created"]);
    assert_eq!(shop.imported("e", "{\"key\":\"E1\"}\n", &[], 0), ["1 E1 created"]);
    assert_eq!(shop.imported("f.dat", "F1\nF2\n", &[], 0), ["1 F1 created", "2 F2 created"]);

    let keys = shop.keys().await;
    let of = |key: &str, name: &str| keys[key].get(name).cloned().unwrap_or_default();
    assert_eq!(keys.len(), 13);
    assert_eq!(["C1", "C \"2\"", "C3", "D1"].map(|key| of(key, "validity")), ["30", "7", "0", "5"]);
    assert_eq!(
        (of("J1", "activation_limit"), of("J2", "activation_limit")),
        ("3".to_owned(), "0".to_owned())
    );
    assert_eq!((of("J3", "status"), of("J3", "stock")), ("blocked".to_owned(), String::new()));
    assert_eq!((of("J1", "status"), of("J1", "stock")), ("available".to_owned(), "PRODUCT#1".to_owned()));
    let ids: std::collections::BTreeSet<_> = keys.keys().map(|key| of(key, "id")).collect();
    assert_eq!(ids.len(), keys.len(), "numeric ids are unique");
}

#[tokio::test]
async fn a_woocommerce_export_is_imported() {
    let shop = Shop::open();
    let export = "\
\"ID\",\"Order ID\",\"Product ID\",\"User ID\",\"License key\",\"Expires at\",\"Valid for\",\"Status\",\"Times activated\",\"Times activated (max)\"
1,NULL,1,NULL,\"W-1\",NULL,365,3,NULL,2
2,77,2,5,\"W-2\",\"2027-01-01 00:00:00\",NULL,1,1,NULL
3,78,9,5,\"W-3\",NULL,365,delivered,0,1
4,NULL,2,NULL,\"W-4\",NULL,30,inactive,0,1
5,NULL,2,NULL,\"W-5\",NULL,30,5,0,1
";
    shop.write("export.csv", export);
    let output = shop.import(&["export.csv"], 3);
    let said = text(&output.stderr);
    assert!(said.contains("activation_limit from \"Times activated (max)\""), "{said}");
    assert!(said.contains("not used: ID, User ID, Expires at, Times activated\n"), "{said}");
    assert!(said.contains("refused line 4: there is no product 9"), "{said}");
    let told: Vec<String> = shop.receipt("export.csv.receipt.jsonl").iter().map(super::in_short).collect();
    assert_eq!(
        told[..4],
        ["2 W-1 created", "3 W-2 created", "4 W-3 refused: there is no product 9", "5 W-4 created"]
    );
    assert!(told[4].starts_with("6 W-5 refused: status must be one of available"), "{}", told[4]);

    let keys = shop.keys().await;
    let of = |key: &str, name: &str| keys[key].get(name).cloned().unwrap_or_default();
    assert_eq!(["W-1", "W-2", "W-4"].map(|key| of(key, "status")), ["available", "assigned", "blocked"]);
    assert_eq!(["W-1", "W-2", "W-4"].map(|key| of(key, "product_id")), ["1", "2", "2"]);
    assert_eq!(["W-1", "W-2", "W-4"].map(|key| of(key, "validity")), ["365", "0", "30"]);
    assert_eq!(["W-1", "W-2", "W-4"].map(|key| of(key, "activation_limit")), ["2", "0", "1"]);
    assert_eq!(["W-1", "W-2"].map(|key| of(key, "order_reference")), ["", "REFERENCE#77"]);
}

#[tokio::test]
async fn sold_keys_are_imported_with_their_owners() {
    let shop = Shop::open();
    let export = "license_key,product_id,status,owner_name,owner_email,assigned_at\n\
                  G-1,1,assigned,Test User,test@example.com,2024-01-08 10:00:00\n";
    shop.write("sold.csv", export);
    shop.import(&["sold.csv"], 0);
    let key = &shop.keys().await["G-1"];
    assert_eq!(key["owner_name"], "Test User");
    assert_eq!(key["owner_email"], "test@example.com");
    assert_eq!(key["assigned_at"], "2024-01-08T10:00:00.000000Z");
    let refused = shop
        .local
        .post("assign-license-key", &[("license_key", "G-1"), ("owner_name", "x"), ("email", "a@b.c")]);
    assert_eq!(refused.await["code"], 801, "it is not for sale");
}

#[tokio::test]
async fn keys_are_imported_from_standard_input() {
    let shop = Shop::open();
    let mut command = keypool(shop.path());
    command.args(["keys", "import", "-", "--product", "1", "--receipt", "r.jsonl", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"S1\nS2\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(super::summary(&output), [2, 2, 0, 0]);
    assert_eq!(shop.receipt("r.jsonl").len(), 2);
    let said = text(&shop.import(&["-", "--product", "1"], 1).stderr);
    assert!(said.contains("give --receipt"), "{said}");
}

#[test]
fn a_preview_shows_the_first_lines_and_does_nothing_else() {
    let shop = Shop::open();
    let lines = (2..=20).map(|line| format!("P-{line};Ada"));
    let lines: Vec<String> = std::iter::once("Serial;owner_name".to_owned()).chain(lines).collect();
    shop.write("preview.csv", lines.join("\n"));
    let arguments = ["preview.csv", "--product", "1", "--column", "license_key=Serial", "--preview"];
    let output = shop.import(&[&arguments[..], &["--status", "assigned"]].concat(), 0);
    let told = json(&text(&output.stdout));
    assert_eq!((&told["format"], &told["lines"]), (&"csv".into(), &20.into()));
    assert!(told["columns"].as_str().unwrap().contains("license_key from \"Serial\""), "{told}");
    let first = told["first"].as_array().unwrap();
    assert_eq!(first.len(), 10);
    assert_eq!((&first[0]["line"], &first[0]["license_key"]), (&2.into(), &"P-2".into()));
    assert_eq!((&first[9]["owner_name"], &first[9]["status"]), (&"Ada".into(), &"assigned".into()));
    // An owner of a key in stock: each line would be refused.
    let shown = ok(shop.path(), &[&["keys", "import"], &arguments[..]].concat());
    assert_eq!(shown.matches("refused has an owner").count(), 10, "{shown}");
    assert!(!shop.path().join("preview.csv.receipt.jsonl").exists());
    let said = fails(shop.path(), &["keys", "import", "preview.csv", "--preview", "--dry-run"], 2);
    assert!(said.contains("cannot be used with"), "{said}");
}
