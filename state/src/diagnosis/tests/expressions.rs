//! The cluster query language: judged if it is certainly understood, else not at all.

use super::super::InstanceFacts;
use super::super::expression::meets;

fn instance() -> InstanceFacts {
    let attributes = [
        ("ecs.instance-type", Some("t2.small")),
        ("ecs.availability-zone", Some("us-east-1a")),
        ("stack", Some("prod")),
        ("marked", None),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    InstanceFacts {
        ec2_instance_id: "i-abcd1234".to_owned(),
        attributes: attributes.into_iter().collect(),
        ..InstanceFacts::default()
    }
}

#[track_caller]
fn check(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (expression, expected) = line.rsplit_once(" => ").unwrap();
        let expected = match expected {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        assert_eq!(meets(expression.trim(), &instance()), expected, "{expression}");
    }
}

/// The guide's own examples first.
#[test]
fn single_expressions() {
    check(
        "
        attribute:ecs.instance-type == t2.small                       => yes
        attribute:ecs.instance-type equals t2.large                   => no
        attribute:ecs.availability-zone in [us-east-1a, us-east-1b]   => yes
        attribute:ecs.availability-zone in [us-east-1c]               => no
        attribute:ecs.availability-zone !in [us-east-1a, us-east-1b]  => no
        attribute:ecs.availability-zone not_in [us-east-1c]           => yes
        attribute:stack != prod                                       => no
        attribute:stack not_equals test                               => yes
        attribute:stack==prod                                         => yes
        attribute:stack!='prod'                                       => no
        ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']                 => yes
        ec2InstanceId == i-0                                          => no
        attribute:marked exists                                       => yes
        attribute:other exists                                        => no
        attribute:other !exists                                       => yes
        attribute:stack not_exists                                    => no
        attribute:other == prod                                       => no
        ",
    );
}

/// A pattern must give the same answer for the whole value and for a part of it.
#[test]
fn patterns() {
    check(
        r"
        attribute:ecs.instance-type =~ t2.*      => yes
        attribute:ecs.instance-type =~ t2\..*    => yes
        attribute:ecs.instance-type matches m5.* => no
        attribute:ecs.instance-type !~ m5.*      => yes
        attribute:ecs.instance-type =~ .*        => yes
        attribute:ecs.instance-type =~ t2        => ?
        attribute:ecs.instance-type =~ 2.s       => ?
        attribute:ecs.instance-type =~ t*2x      => no
        attribute:ecs.instance-type =~ t[0-9].*  => ?
        attribute:ecs.instance-type =~ t2.s+mall => ?
        attribute:ecs.instance-type =~ (t2|t3).* => ?
        attribute:ecs.instance-type =~ *         => ?
        attribute:ecs.instance-type =~ t\d.*     => ?
        attribute:other =~ t2.*                  => no
        ",
    );
}

#[test]
fn compound_expressions() {
    check(
        "
        attribute:ecs.instance-type =~ t2.* and attribute:stack != test         => yes
        attribute:stack == prod && attribute:stack == test                      => no
        attribute:stack == test or attribute:stack == prod                      => yes
        (attribute:stack == test or attribute:stack == prod) and ec2InstanceId == i-0 => no
        not(attribute:stack == test)                                            => yes
        !(attribute:stack == prod)                                              => no
        task:group == db or attribute:stack == prod                             => yes
        task:group == db and attribute:stack == test                            => no
        task:group == db and attribute:stack == prod                            => ?
        not(task:group == database)                                             => ?
        ",
    );
}

#[test]
fn what_is_not_understood_is_not_judged() {
    check(
        "
        runningTasksCount == 1                                       => ?
        agentVersion < 1.14.5                                        => ?
        registeredAt < 2018-02-13                                    => ?
        attribute:size > 3                                           => ?
        attribute:other != prod                                      => ?
        attribute:other !in [prod]                                   => ?
        attribute:stack == a or attribute:stack == prod and x == y   => ?
        not attribute:stack == prod                                  => ?
        attribute:stack ==                                           => ?
        attribute:stack == 'prod                                     => ?
        attribute:stack == prod prod                                 => ?
        attribute:stack in prod                                      => ?
        attribute:stack in [prod                                     => ?
        (attribute:stack == prod                                     => ?
        attribute:stack is prod                                      => ?
        and                                                          => ?
        ",
    );
    assert_eq!(meets("", &instance()), None);
}

/// Patterns are foreign text: none of them takes long.
#[test]
fn a_costly_pattern_is_cheap() {
    let pattern = ".*a".repeat(500);
    let value = "a".repeat(128);
    let mut instance = instance();
    instance.attributes.insert("x".to_owned(), Some(value));
    assert_eq!(meets(&format!("attribute:x =~ {pattern}"), &instance), Some(false));
}
