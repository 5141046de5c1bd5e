//! Room that is called certain withstands every order and every choice of places.

use super::super::room::{Place, Size, Wave, is_certain};
use super::{instance, service};
use crate::diagnosis::{InstanceFacts, ServiceFacts};

/// A small generator, so that the crate needs none.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Returns whether the rivals can be placed so that the task fits nowhere.
fn can_be_barred(
    places: &[Place<'_>],
    task: &(String, ServiceFacts),
    rivals: &[(String, ServiceFacts)],
    left: &mut Vec<usize>,
) -> bool {
    let fits = |place: &Place<'_>, (name, service): &(String, ServiceFacts)| {
        place.fits(name, service, &Size::of(service).unwrap())
    };
    if !places.iter().any(|place| fits(place, task)) {
        return true;
    }
    (0..rivals.len()).any(|rival| {
        if left[rival] == 0 {
            return false;
        }
        left[rival] -= 1;
        let barred = (0..places.len()).any(|at| {
            if !fits(&places[at], &rivals[rival]) {
                return false;
            }
            let mut next = places.to_vec();
            let (name, service) = &rivals[rival];
            next[at].take(name, &Size::of(service).unwrap());
            can_be_barred(&next, task, rivals, left)
        });
        left[rival] += 1;
        barred
    })
}

#[test]
fn certain_room_withstands_every_order() {
    let mut dice = Dice(7);
    let (mut certain, mut open) = (0, 0);
    for _ in 0..4000 {
        let instances: Vec<InstanceFacts> = (0..=dice.roll(3))
            .map(|n| {
                let memory = Some(i64::try_from(64 * dice.roll(12)).unwrap());
                let cpu = i64::try_from(64 * dice.roll(12)).unwrap();
                InstanceFacts { memory, ..instance(&format!("c{n}"), cpu) }
            })
            .collect();
        let places: Vec<Place<'_>> = instances.iter().filter_map(Place::new).collect();
        let mut random = |name: &str| {
            let mut service = service(1, 100, 200, 64 * u32::try_from(1 + dice.roll(5)).unwrap());
            let need = service.need.as_mut().unwrap();
            need.memory = Some(64 * u32::try_from(1 + dice.roll(5)).unwrap());
            if dice.roll(4) == 0 {
                need.ports = [crate::diagnosis::Port::Tcp(80)].into();
            }
            (name.to_owned(), service)
        };
        let task = random("task");
        let rivals = [random("r1"), random("r2")];
        let mut counts: Vec<usize> =
            (0..2).map(|_| usize::try_from(dice.roll(3)).unwrap()).collect();
        let size = Size::of(&task.1).unwrap();
        let eligible: Vec<&Place<'_>> =
            places.iter().filter(|place| place.fits(&task.0, &task.1, &size)).collect();
        if eligible.is_empty() {
            continue;
        }
        let waves: Vec<Wave<'_>> = rivals
            .iter()
            .zip(&counts)
            .map(|((_, service), count)| Wave { size: Size::of(service).unwrap(), count: *count })
            .collect();
        let conflicts = rivals.iter().zip(&counts).map(|((_, service), count)| {
            let ports = &service.need.as_ref().unwrap().ports;
            if size.need.ports.is_disjoint(ports) { 0 } else { *count }
        });
        let says = is_certain(&eligible, &size, &waves, conflicts.sum());
        let barred = can_be_barred(&places, &task, &rivals, &mut counts);
        assert!(!(says && barred), "{places:?} {task:?} {rivals:?} {counts:?}");
        match (says, barred) {
            (true, _) => certain += 1,
            (false, false) => open += 1,
            (false, true) => {}
        }
    }
    assert!(certain > 1000, "{certain} certain, {open} more that could not be shown");
}
