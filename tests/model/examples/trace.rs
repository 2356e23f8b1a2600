//! Shows how each scenario violates a property without a rule:
//! `cargo run -p keypool-model --example trace -- BeginsOnce`. Without an argument it lists the rules.
#![expect(clippy::print_stdout, reason = "the output is for reading")]

use keypool_model::trace::counterexample;
use keypool_model::{Rule, properties, scenarios};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let rules: Vec<Rule> =
        Rule::ALL.into_iter().filter(|rule| wanted.contains(&format!("{rule:?}"))).collect();
    if rules.is_empty() {
        println!("{:#?}", Rule::ALL);
        return;
    }
    for (name, scenario) in scenarios::all() {
        for property in properties::ALWAYS {
            let Some(run) = counterexample(&scenario.clone().without(rules.clone()), property, true) else {
                continue;
            };
            println!("{name}, without {rules:?}, not: {property}");
            for action in run {
                println!("    {action:?}");
            }
        }
    }
}
