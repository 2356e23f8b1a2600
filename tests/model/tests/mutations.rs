//! Checks that the protocol fails without any one of its rules: the checker finds a run.
#![expect(clippy::print_stdout, reason = "`--nocapture` shows the runs")]

use keypool_model::properties::{
    ALL_OR_NONE, CAN_GO_ON, NO_KEY_LOST, NO_KEY_TWICE, NOTHING_SOLD_IS_TRUE, ONE_ANSWER_PER_HEADER,
    ONE_OWNER, ONE_SALE_PER_HEADER, REPLACED_ONCE, SIGNED_BEFORE, TOLD_IS_OWNED,
};
use keypool_model::trace::counterexample;
use keypool_model::{Rule, Scenario, scenarios};

/// Shows the shortest run at that scenario that violates `property` without the rule.
fn breaks(rule: Rule, scenario: Scenario, property: &'static str) {
    let run = counterexample(&scenario.without([rule]), property, true);
    assert!(run.is_some(), "no run without {rule:?} violates: {property}");
    println!("without {rule:?} not: {property}");
    for action in run.unwrap_or_default() {
        println!("    {action:?}");
    }
}

/// Makes one test for each line: its name, the rule to leave out, the scenario, and the property that fails.
macro_rules! without {
    ($($test:ident: $rule:ident, $scenario:ident, $property:ident;)*) => {
        $(#[test]
        fn $test() {
            breaks(Rule::$rule, scenarios::$scenario(), $property);
        })*
    };
}

without! {
    a_refused_sale_arrives_after_all: ChecksVersion, small, NOTHING_SOLD_IS_TRUE;
    a_repeated_sale_mistakes_itself_for_another: KnowsOwnSale, small, ALL_OR_NONE;
    a_repeated_put_mistakes_itself_for_another: KnowsOwnSale, fresh_small, ALL_OR_NONE;
    a_repeated_transaction_mistakes_itself_for_another: RepeatsWithOneToken, small_pair, ALL_OR_NONE;
    a_repeated_take_mistakes_itself_for_another: RepeatsWithOneToken, large_of_two_parts, NO_KEY_LOST;
    a_part_of_a_sale_is_made: WritesInOneTransaction, small_pair, ALL_OR_NONE;
    a_response_is_recorded_without_its_key: WritesInOneTransaction, small_with_two_headers, NO_KEY_TWICE;
    a_key_is_reserved_in_no_part: WritesInOneTransaction, large, NO_KEY_LOST;
    a_crash_leaves_a_sale_without_response: SignsFirst, small, SIGNED_BEFORE;
    a_crash_leaves_a_large_order_without_response: SignsFirst, large, SIGNED_BEFORE;
    a_sale_arrives_after_all: ResolvesUnknownOutcome, small, NOTHING_SOLD_IS_TRUE;
    a_finish_arrives_after_all: ResolvesUnknownOutcome, large, NOTHING_SOLD_IS_TRUE;
    a_first_take_arrives_after_the_entry_was_deleted: ResolvesUnknownOutcome, large, NO_KEY_LOST;
    a_fresh_key_is_stored_after_all: ResolvesUnknownOutcome, fresh_small, NOTHING_SOLD_IS_TRUE;
    a_crash_before_the_response_is_recorded: RecordsResponseInSale, small_with_header, ONE_SALE_PER_HEADER;
    two_attempts_sell_under_one_header: ChecksRecord, small_with_header, ONE_SALE_PER_HEADER;
    a_take_arrives_after_the_undo: ChecksRecord, large_of_two_parts, NO_KEY_LOST;
    a_finish_arrives_after_the_void: ChecksRecord, large, ALL_OR_NONE;
    a_voided_order_is_finished_with_keys_of_others: ChecksRecord, large_that_misses, ONE_OWNER;
    a_late_take_revives_an_order: BeginsOnce, large, NO_KEY_LOST;
    a_tombstone_expires_too_early: KeepsRecords, large, NO_KEY_LOST;
    a_done_record_expires_before_its_entry: KeepsRecords, large, TOLD_IS_OWNED;
    a_done_order_is_voided: VoidsOnlyOpen, large, TOLD_IS_OWNED;
    a_recorded_response_is_voided: VoidsOnlyOpen, large_with_header, ONE_ANSWER_PER_HEADER;
    the_parts_are_read_too_early: ReadsPartsAfterVoid, large_of_two_parts, NO_KEY_LOST;
    an_undo_takes_the_key_of_another: ChangesOnlyOwnReservation, large_beside_small, ONE_OWNER;
    a_crash_after_the_part_was_deleted: DeletesPartWithKeys, large, NO_KEY_LOST;
    a_crash_after_the_entry_was_deleted: DeletesEntryLast, large, NO_KEY_LOST;
    a_key_has_two_successors: ReplacesOnce, replacement, REPLACED_ONCE;
    a_key_is_blocked_without_a_successor: WritesInOneTransaction, replacement, REPLACED_ONCE;
    a_crash_leaves_an_open_record_behind: TakesOver, large_with_header, CAN_GO_ON;
}

#[test]
fn every_rule_is_left_out_somewhere() {
    let tests = include_str!("mutations.rs").split("every_rule_is_left_out").next().unwrap_or_default();
    for rule in Rule::ALL {
        assert!(tests.contains(&format!(": {rule:?}, ")), "no test leaves {rule:?} out");
    }
}
