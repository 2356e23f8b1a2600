//! The machine that a client runs on.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::process::Command;

use keypool_callback::{Resolve as _, SystemResolver};

#[test]
fn proxy_variables_change_nothing() {
    const DELIVERY: &str = "outcomes::a_delivery_is_one_post_with_the_standard_headers";
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut delivery = Command::new(std::env::current_exe().unwrap());
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        delivery.env(name, &url).env(name.to_lowercase(), &url);
    }
    delivery.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = delivery.args(["--exact", DELIVERY]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn the_system_resolves_localhost() {
    let addresses = SystemResolver.resolve("localhost").await.unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback));
}
