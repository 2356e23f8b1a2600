//! Checks formats, types and sizes of requests.

use keypool_tests::{API_KEY, Shop};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const FORM: &str = "generator_id=1&quantity=2";

async fn generate(shop: &Shop, content_type: Option<&str>, body: impl Into<reqwest::Body>) -> (u16, u64) {
    let mut request = shop.request("generate").bearer_auth(API_KEY).body(body);
    if let Some(content_type) = content_type {
        request = request.header("Content-Type", content_type);
    }
    let response = shop.send(request).await;
    (response.status, response.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_type_selects_the_format_of_a_body() {
    let shop = Shop::open().await;
    let json = json!({"generator_id": 1, "quantity": "2"}).to_string();
    let multipart = "--XX\r\nContent-Disposition: form-data; name=\"generator_id\"\r\n\r\n1\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"quantity\"\r\n\r\n2\r\n--XX--\r\n";
    for (content_type, body) in [
        (Some("application/x-www-form-urlencoded"), FORM),
        (Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), FORM),
        (None, FORM),
        (Some("text/plain"), FORM),
        (Some("application/octet-stream"), FORM),
        (Some("no type at all"), FORM),
        (Some("application/json"), &json),
        (Some("application/json; charset=utf-8"), &json),
        (Some("APPLICATION/JSON"), &json),
        (Some("application/json ; charset=UTF-8"), &json),
        (Some("application/json;;charset"), &json),
        (Some("multipart/form-data; boundary=XX"), multipart),
        (Some("Multipart/Form-Data; charset=utf-8; boundary=\"XX\""), multipart),
        (
            Some("multipart/form-data; boundary=----=_Part_1_2.3"),
            &multipart.replace("XX", "----=_Part_1_2.3"),
        ),
    ] {
        assert_eq!(generate(&shop, content_type, body.to_owned()).await, (200, 815), "{content_type:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_body_is_400_with_the_reason() {
    let shop = Shop::open().await;
    for (content_type, body, why) in [
        ("application/json", &b"{"[..], "the body is not JSON"),
        ("application/json", b"", "the body is not JSON"),
        ("application/json", FORM.as_bytes(), "the body is not JSON"),
        ("application/json", b"{\"quantity\": \"\xff\"}", "the body is not JSON"),
        (
            "application/json",
            b"[1]",
            "the body is JSON, but not an object with the parameters as its members",
        ),
        (
            "application/json",
            b"null",
            "the body is JSON, but not an object with the parameters as its members",
        ),
        ("multipart/form-data", b"--XX--", "the Content-Type multipart/form-data has no boundary"),
        ("multipart/form-data; boundary=XX", b"--YY--", "the multipart body is malformed or cut off"),
        ("multipart/form-data; boundary=XX", b"", "the multipart body is malformed or cut off"),
        ("application/x-www-form-urlencoded", b"quantity=%FF", "the form is not UTF-8"),
        ("application/x-www-form-urlencoded", b"quantity=\xff", "the form is not UTF-8"),
    ] {
        let request = shop.request("generate").header("content-type", content_type).body(body.to_vec());
        let response = shop.send(request).await;
        assert_eq!(response.status, 400, "{content_type} {body:?}");
        assert_eq!(response.json()["detail"], format!("The request cannot be read: {why}."));
        assert_eq!(response.json()["title"], "Bad Request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_mebibyte_at_most() {
    const MEBIBYTE: usize = 1_048_576;
    let shop = Shop::open().await;
    let padded =
        |bytes: usize| format!("{FORM}&padding={}", "x".repeat(bytes - FORM.len() - "&padding=".len()));
    assert_eq!(generate(&shop, None, padded(MEBIBYTE)).await, (200, 815));
    assert_eq!(generate(&shop, None, padded(MEBIBYTE + 1)).await, (413, 0));
    // JSON arrives as text and forms arrive in base64, with the same limit. Beyond 6 MiB Lambda gets no
    // event.
    assert_eq!(generate(&shop, Some("application/json"), padded(MEBIBYTE + 1)).await, (413, 0));
    assert_eq!(generate(&shop, None, padded(8 * MEBIBYTE)).await, (413, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_has_no_parameters() {
    let shop = Shop::open().await;
    assert_eq!(generate(&shop, None, "").await, (200, 816));
    assert_eq!(generate(&shop, Some("application/x-www-form-urlencoded"), "").await, (200, 816));
    assert_eq!(generate(&shop, Some("application/json"), "{}").await, (200, 816));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_value_of_a_repeated_parameter_counts() {
    let shop = Shop::open().await;
    assert_eq!(generate(&shop, None, "generator_id=77&quantity=1&generator_id=1").await, (200, 815));
    let json = r#"{"generator_id": 77, "quantity": 1, "generator_id": 1}"#;
    assert_eq!(generate(&shop, Some("application/json"), json).await, (200, 815));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_survives_every_format() {
    let shop = Shop::open().await;
    let owner = "Zoë + Søn & “Co” = 100% \u{1f511} \\ \" '";
    let order = [("api_key", API_KEY), ("product_id", "1"), ("quantity", "1"), ("owner_name", owner)];
    shop.stock(1, 3).await;
    let json: serde_json::Map<_, _> =
        order.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    for response in [
        shop.post_form("random-assign-license-keys", &order).await,
        shop.post_multipart("random-assign-license-keys", &order).await,
        shop.post_json("random-assign-license-keys", &json.into()).await,
    ] {
        assert_eq!(response.response()["license_keys"][0]["owner_name"], owner);
        assert!(shop.verifies(&response, 1).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_headers_do_no_harm() {
    let shop = Shop::open().await;
    let request = shop
        .request("generate")
        .bearer_auth(API_KEY)
        .header("X-Shop", reqwest::header::HeaderValue::from_bytes("Zoë".as_bytes()).unwrap())
        .header("X-Forwarded-Proto", "not a scheme")
        .header("Cookie", "a=b; c=d")
        .header("Host", "not.this.host")
        .header("uSeR-aGeNt", "WordPress/6.4; https://shop.example")
        .body(FORM);
    assert_eq!(shop.send(request).await.code(), 815);
}

/// Clients die in the middle of a request. The rest of the request is unknown, so nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_does_nothing() {
    let shop = Shop::open().await;
    shop.stock(1, 12).await;
    let address = shop.base_url.trim_start_matches("http://").to_owned();
    let body = format!("api_key={API_KEY}&product_id=1&quantity=1");
    let head = "POST /api/v1/random-assign-license-keys HTTP/1.1\r\nHost: x\r\n";
    for request in [
        // One more byte was announced: the quantity might have been 12.
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len() + 1),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\nZZ\r\n", body.len()),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(shop.in_stock(1).await, 12);
}
