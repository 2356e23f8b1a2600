//! Checks that the complete protocol holds in every state of every scenario.
#![expect(clippy::print_stdout, reason = "`--nocapture` shows the number of states")]

use keypool_model::properties::{
    ALWAYS, FAILS, IN_PROGRESS, REFUSES, SELLS, SELLS_AGAIN, SELLS_UNTOLD, STAYS_UNKNOWN,
};
use keypool_model::{Request, Scenario, scenarios};
use stateright::{Checker as _, Model as _};

const COMMON: [&str; 3] = [SELLS, REFUSES, FAILS];

/// Explores every state. After a change, the model must still explore at least `at_least` states.
fn holds(scenario: Scenario, possible: &[&'static str], at_least: usize) {
    let checker = scenario.checker().spawn_bfs().join();
    for property in ALWAYS {
        checker.assert_no_discovery(property);
    }
    for property in COMMON.iter().chain(possible) {
        checker.assert_any_discovery(property);
    }
    let states = checker.unique_state_count();
    println!("{states} states, at most {} steps", checker.max_depth());
    assert!(states >= at_least, "only {states} states");
}

/// Makes one test for each line: its name, the scenario, the properties that must be possible there besides
/// [`COMMON`], and the smallest number of states.
macro_rules! in_every_state {
    ($($test:ident: $scenario:ident, [$($possible:ident),*], $at_least:literal;)*) => {
        $(#[test]
        fn $test() {
            holds(scenarios::$scenario(), &[$($possible),*], $at_least);
        })*
    };
}

in_every_state! {
    small_sales: small, [STAYS_UNKNOWN, SELLS_UNTOLD, SELLS_AGAIN], 100_000;
    three_small_sales: three_small, [STAYS_UNKNOWN, SELLS_UNTOLD, SELLS_AGAIN], 2_200_000;
    small_sales_of_several_keys: small_pair, [STAYS_UNKNOWN, SELLS_UNTOLD], 100_000;
    small_sales_with_a_header: small_with_header, [STAYS_UNKNOWN, SELLS_UNTOLD], 33_000;
    three_small_sales_with_one_header: small_with_header_thrice, [STAYS_UNKNOWN, SELLS_UNTOLD], 200_000;
    small_sales_with_two_headers: small_with_two_headers, [STAYS_UNKNOWN, SELLS_UNTOLD, SELLS_AGAIN], 110_000;
    a_large_order_and_two_sweeps: large, [STAYS_UNKNOWN, SELLS_UNTOLD], 210_000;
    a_large_order_of_two_parts: large_of_two_parts, [STAYS_UNKNOWN, SELLS_UNTOLD], 630_000;
    a_large_order_with_a_part_of_two_keys: large_with_a_part_of_two, [STAYS_UNKNOWN, SELLS_UNTOLD], 140_000;
    a_large_order_with_a_spare_key: large_with_spare, [STAYS_UNKNOWN, SELLS_UNTOLD], 140_000;
    a_large_order_beside_a_small_sale: large_beside_small, [STAYS_UNKNOWN, SELLS_UNTOLD], 1_700_000;
    a_large_order_that_misses_a_key: large_that_misses, [STAYS_UNKNOWN, SELLS_UNTOLD], 3_300_000;
    two_large_orders: two_large, [], 1_700_000;
    large_orders_with_one_header: large_with_header, [IN_PROGRESS, SELLS_UNTOLD], 2_800_000;
    three_large_orders_with_one_header: large_with_header_thrice, [IN_PROGRESS, SELLS_UNTOLD], 2_900_000;
    a_large_order_and_a_small_sale_with_one_header:
        large_and_small_with_one_header, [IN_PROGRESS, STAYS_UNKNOWN, SELLS_UNTOLD], 1_500_000;
    small_sales_of_fresh_keys: fresh_small, [STAYS_UNKNOWN, SELLS_UNTOLD], 16_000;
    fresh_keys_with_a_header: fresh_with_header, [STAYS_UNKNOWN, SELLS_UNTOLD], 22_000;
    a_large_order_of_fresh_keys: fresh_large, [STAYS_UNKNOWN, SELLS_UNTOLD], 540_000;
    two_replacements_of_one_key: replacement, [STAYS_UNKNOWN, SELLS_UNTOLD], 220_000;
    replacements_with_a_header: replacement_with_header, [STAYS_UNKNOWN, SELLS_UNTOLD], 170_000;
    replacements_by_a_fresh_key: replacement_by_fresh, [STAYS_UNKNOWN, SELLS_UNTOLD], 12_000;
}

/// A window may be older than the attempt: the key was sold and released since, and the draw shows its
/// earlier version.
#[test]
fn a_draw_uses_a_window_from_before_the_attempt() {
    let scenario = Scenario { releases: 1, ..Scenario::new(1, [Request::of(1), Request::of(1)]) };
    let state = scenario.init_states().remove(0);
    let state =
        ["Draws(0, {0: 1})", "Writes(Attempt(0), Sell", "Releases(0)"].iter().fold(state, |state, name| {
            let mut actions = Vec::new();
            scenario.actions(&state, &mut actions);
            actions.retain(|action| format!("{action:?}").starts_with(name));
            let next = actions.first().and_then(|action| scenario.next_state(&state, *action));
            next.unwrap_or_else(|| unreachable!("{name} is possible"))
        });
    let mut actions = Vec::new();
    scenario.actions(&state, &mut actions);
    let draws: Vec<String> = actions
        .iter()
        .map(|action| format!("{action:?}"))
        .filter(|name| name.starts_with("Draws(1"))
        .collect();
    assert_eq!(draws, ["Draws(1, {0: 1})", "Draws(1, {0: 3})"]);
}
