use std::process::Output;

use serde_json::{Value, json};

use super::{Shop, summary};
use crate::harness::{fails, ok, text};

#[test]
fn an_unusable_file_is_refused_with_a_reason() {
    let shop = Shop::open();
    shop.write("empty.csv", "");
    shop.write("blank.txt", "\u{feff}");
    shop.write("columns.csv", "id;code name;price\n1;A;2\n");
    shop.write("no_product.csv", "key,price\nA,2\n");
    shop.write("utf16.txt", b"\xFF\xFEA\x00\n\x00");
    shop.write("keys.txt", "A\n");
    shop.write("header.csv", "\"key,x\n");
    for (arguments, expected) in [
        (&["empty.csv", "--product", "1"][..], "empty.csv is empty"),
        (&["blank.txt", "--product", "1"], "blank.txt is empty"),
        (
            &["columns.csv", "--product", "1"],
            "there is no column with license keys; the columns are: id, code name, price. Give --column license_key=NAME",
        ),
        (
            &["columns.csv", "--product", "1", "--column", "license_key=Code"],
            "there is no column Code; the columns are: id, code name, price",
        ),
        (&["no_product.csv"], "there is no column product_id; the columns are: key, price. Give --product"),
        (&["utf16.txt", "--product", "1"], "utf16.txt is UTF-16: save it as UTF-8"),
        (&["header.csv", "--product", "1"], "cannot read the header: line 1"),
        (&["nowhere.csv", "--product", "1"], "cannot read nowhere.csv: No such file"),
        (&[".", "--product", "1"], ". is a folder"),
        (
            &["keys.txt", "--product", "1", "--receipt", "/dev/full"],
            "the receipt /dev/full is not a regular file",
        ),
        (&["columns.csv", "--product", "77"], "there is no product 77"),
        (
            &["keys.txt", "--product", "1", "--column", "status=State"],
            "a text file has no columns: --column is for CSV and JSON lines",
        ),
    ] {
        let said = text(&shop.import(arguments, 1).stderr);
        assert!(said.contains(&format!("error: {expected}")), "{arguments:?}: {said}");
    }
    let files = std::fs::read_dir(shop.path()).unwrap();
    let receipts =
        files.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().contains("receipt"));
    assert_eq!(receipts.count(), 0);
    let said = fails(shop.path(), &["keys", "import", "columns.csv", "--column", "licence=x"], 2);
    assert!(said.contains("licence is not a field; the fields are license_key, product_id"), "{said}");
}

#[tokio::test]
async fn a_broken_line_spoils_no_others() {
    let shop = Shop::open();
    let mut csv =
        b"key,validity,note\nB1,30,x\nB\xE9,30,Latin-1\n,30,empty\nB2,never,x\n\"B3,30,not closed\n".to_vec();
    csv.extend_from_slice(b"\"B4\",30,x\nB5,30,x,too,many\n\"B6\"x,30,x\n");
    csv.extend_from_slice(&b"B7,30,".repeat(2_000_000));
    csv.extend_from_slice(b"\nB8,30,x\n\"B9,30,never closed\nB10,30,x");
    let told = shop.imported("bad.csv", csv, &[], 3);
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let quotes = "refused: a quoted value in this line does not end correctly: a quote is missing, or there is one too many";
    assert_eq!(
        told,
        [
            "2 B1 created",
            "3 refused: is not UTF-8 (byte 0xE9): save the file as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8",
            "4 refused: license_key must not be empty",
            "5 B2 refused: validity must be an integer",
            &format!("6 {quotes}"),
            "7 B4 created",
            "8 refused: has 5 values for 3 columns: a value may need quotes",
            &format!("9 {quotes}"),
            "10 refused: is longer than 64 KB",
            "11 B8 created",
            &format!("12 {quotes}"),
            "13 B10 created",
        ]
    );
    let long = "x".repeat(256);
    let text = [b"T1\n", long.as_bytes(), b"\nT\xFF\nT\t2\n", &vec![b'y'; 10_000_000], b"\nT3"].concat();
    let told = shop.imported("bad.txt", text, &[], 3);
    assert_eq!(told[0], "1 T1 created");
    assert_eq!(told[1], format!("2 {long} refused: license_key must not be longer than 255 characters"));
    assert!(told[2].starts_with("3 refused: is not UTF-8 (byte 0xFF)"), "{}", told[2]);
    assert_eq!(told[3], "4 T\t2 refused: license_key must not contain control characters");
    assert_eq!(told[4..], ["5 refused: is longer than 64 KB", "6 T3 created"]);
    assert_eq!(shop.keys().await.len(), 6);
}

#[tokio::test]
async fn keys_that_are_hard_to_type_cause_a_warning() {
    let shop = Shop::open();
    let content = "N1\n\u{feff}N1\nN\u{200b}2\n\u{c4}3\nA\u{308}3\nN4\n";
    let warnings = json!([
        { "kind": "byte_order_mark", "count": 1, "lines": [2] },
        { "kind": "zero_width", "count": 1, "lines": [3] },
        { "kind": "twin", "count": 1, "lines": [5], "of_lines": [4] },
    ]);
    let warned = |output: &Output| {
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["warnings"].clone()
    };
    shop.write("keys.txt", content);
    let arguments = ["keys.txt", "--product", "1"];
    let rehearsed = shop.import(&[&arguments[..], &["--dry-run"]].concat(), 0);
    assert_eq!(warned(&rehearsed), warnings);
    let output = shop.import(&arguments, 0);
    assert_eq!((summary(&output), warned(&output)), ([6, 6, 0, 0], warnings.clone()));
    assert_eq!(warned(&shop.import(&arguments, 0)), warnings, "a completed import warns, too");
    assert!(shop.keys().await.contains_key("\u{feff}N1"), "the key is stored as it is");

    let said = ok(shop.path(), &[&["keys", "import"], &arguments[..]].concat());
    let expected = "6 lines: 6 created, 0 duplicate, 0 refused\n\
                    warning: 1 key with an invisible byte order mark (U+FEFF): line 2\n\
                    warning: 1 key with an invisible character (U+200B to U+200F): line 3\n\
                    warning: 1 key in another Unicode normalization than an earlier key that looks the same: \
                    line 5 (as 4)\n\
                    receipt: keys.txt.receipt.jsonl\n";
    assert_eq!(said, expected);
    shop.write("plain.txt", "P1\n");
    assert_eq!(warned(&shop.import(&["plain.txt", "--product", "1"], 0)), json!([]));
}

#[test]
fn the_summary_for_people_is_text() {
    let shop = Shop::open();
    shop.write("keys.txt", "A\nA\n");
    let said = ok(shop.path(), &["keys", "import", "keys.txt", "--product", "1"]);
    assert_eq!(said, "2 lines: 1 created, 1 duplicate, 0 refused\nreceipt: keys.txt.receipt.jsonl\n");
    shop.write("slow.txt", "B\nC\n");
    let slow = ["keys", "import", "slow.txt", "--product", "1", "--keys-per-second", "1000"];
    assert!(ok(shop.path(), &slow).starts_with("2 lines: 2 created"));
    let said = fails(shop.path(), &[&slow[..6], &["0"]].concat(), 2);
    assert!(said.contains("invalid value '0' for '--keys-per-second"), "{said}");
    let help = ok(shop.path(), &["keys", "import", "--help"]);
    for word in
        ["Examples:", "write unit", "Exit codes:", "--dry-run", "created + duplicate + refused = lines"]
    {
        assert!(help.contains(word), "{word}: {help}");
    }
}
