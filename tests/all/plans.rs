//! Plans of `ecs-drain plan` against the drains that follow, in random clusters; `simulation
//! --plans` makes more of them.

use ecs_drain_simulation::trials::try_all;

/// The number of random clusters of every run of the tests.
const SOME: u64 = 16;

#[test]
fn a_drain_that_was_to_end_by_itself_does() {
    let figures = try_all(1..=SOME);
    println!("{figures}");
    assert!(figures.broken.is_empty(), "to end by themselves, and have not: {:?}", figures.broken);
    for verdict in [("Ends", true), ("Stuck", false)] {
        assert!(figures.counts.contains_key(&verdict), "no instance that was {verdict:?}");
    }
}
