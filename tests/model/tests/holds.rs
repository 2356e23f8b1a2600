//! The complete protocol holds, in every state of every desk.
#![expect(clippy::print_stdout, reason = "`--nocapture` shows how many states there are")]

use keypool_model::properties::{ALWAYS, FAILS, REFUSES, SELLS, SELLS_UNTOLD};
use keypool_model::{Desk, Rule, desks};
use stateright::{Checker as _, Model as _};

/// Explores everything; `at_least` so many states, lest a change of the model make it explore nothing.
fn holds(desk: Desk, possible: &[&'static str], at_least: usize) {
    let checker = desk.checker().spawn_bfs().join();
    for property in ALWAYS {
        checker.assert_no_discovery(property);
    }
    for property in possible {
        checker.assert_any_discovery(property);
    }
    let states = checker.unique_state_count();
    println!("{states} states, at most {} steps", checker.max_depth());
    assert!(states >= at_least, "only {states} states");
}

const ALL: [&str; 4] = [SELLS, REFUSES, FAILS, SELLS_UNTOLD];

#[test]
fn small_orders() {
    holds(desks::small(), &ALL, 5_000);
}

#[test]
fn three_small_orders() {
    holds(desks::three_small(), &ALL, 10_000);
}

#[test]
fn small_orders_of_several_keys() {
    holds(desks::small_pair(), &ALL, 10_000);
}

#[test]
fn small_orders_with_a_claim() {
    holds(desks::claimed(), &ALL, 20_000);
}

#[test]
fn three_attempts_under_one_claim() {
    holds(desks::claimed_thrice(), &ALL, 50_000);
}

#[test]
fn two_claims() {
    holds(desks::claimed_by_two(), &ALL, 50_000);
}

#[test]
fn a_big_order_and_two_sweeps() {
    holds(desks::big(), &ALL, 100_000);
}

#[test]
fn a_big_order_with_replacements() {
    holds(desks::big_with_spare(), &ALL, 100_000);
}

#[test]
fn a_big_order_beside_a_small_one() {
    holds(desks::big_beside_small(), &ALL, 500_000);
}

#[test]
fn a_big_order_that_misses_a_key() {
    holds(desks::big_that_misses(), &ALL, 100_000);
}

#[test]
fn two_big_orders() {
    holds(desks::two_big(), &[SELLS, REFUSES, FAILS], 1_000_000);
}

#[test]
fn two_big_orders_of_which_one_steps_back() {
    holds(desks::two_big_stepping_back(), &[SELLS, REFUSES, FAILS], 100_000);
}

#[test]
fn a_big_order_with_a_claim() {
    holds(desks::claimed_big(), &[SELLS, REFUSES, FAILS], 500_000);
}

#[test]
fn a_big_order_of_two_keys_with_a_claim() {
    holds(desks::claimed_big_pair(), &ALL, 500_000);
}

#[test]
fn a_big_order_of_fresh_keys() {
    holds(desks::fresh(), &ALL, 100_000);
}

/// Some rules are a second lock on the same door: without one of them alone the others hold.
#[test]
fn one_lock_of_two_is_enough() {
    for rule in [Rule::SaleChecksAttempt, Rule::ReleaseChecksAttempt, Rule::ReleaseChecksState] {
        holds(desks::claimed().without([rule]), &[], 20_000);
        holds(desks::claimed_thrice().without([rule]), &[], 100_000);
    }
    holds(desks::claimed_big().without([Rule::SaleChecksAttempt]), &[], 500_000);
    for desk in [desks::small(), desks::small_pair(), desks::claimed(), desks::big_that_misses()] {
        holds(desk.without([Rule::ChecksStatus]), &[], 5_000);
    }
}
