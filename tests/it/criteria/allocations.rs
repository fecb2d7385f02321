//! What compiled criteria ask of the allocator, once a contact: nothing.

use allocation_counter::measure;
use contact_reaper::domain::criteria::{Criteria, Truth};

use super::cases::all;
use super::scene::Scene;

#[test]
fn criteria_are_evaluated_without_allocation() {
    let wasteful: Vec<String> = all()
        .into_iter()
        .filter_map(|case| {
            let (scene, criteria) = (Scene::read(&case.scene), Criteria::parse(&case.branch, "$"));
            let mut verdict = Truth::Unknown;
            let allocations = measure(|| verdict = criteria.evaluate(scene.subject())).count_total;
            assert_eq!(verdict.as_str(), case.verdict, "{}", case.place);
            (allocations > 0).then(|| format!("{}: {allocations}", case.place))
        })
        .collect();
    assert!(wasteful.is_empty(), "\n{}", wasteful.join("\n"));
}
