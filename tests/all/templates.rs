//! The policies of the templates under `deploy/` are written from the program's own list of calls:
//! a call that is in the program and not in a template fails a test, and so does a permission that
//! is no longer needed. The pages of the Terraform modules are written from the modules in the same
//! way.
//!
//! `ECS_DRAIN_WRITE=1 cargo test --test all templates` writes them again.

use ecs_drain::config::environment::VARIABLES;
use ecs_drain::config::{Config, Given};
use ecs_drain::iam::{self, May, Need, On, Place, SHAPES, Shape, Subject, policy};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

/// The needs of a controller, in the account of its table.
const CONTROLLER: &[Need] = &[
    Need::Look,
    Need::Act,
    Need::Termination,
    Need::Rollouts,
    Need::StopAfter,
    Need::Deregister,
    Need::Queue,
    Need::Role,
    Need::Table,
];

/// The needs of the role of a member account.
const MEMBER: &[Need] = &[
    Need::Look,
    Need::Act,
    Need::Termination,
    Need::Rollouts,
    Need::StopAfter,
    Need::Deregister,
    Need::Queue,
];

fn shapes(needs: &[Need]) -> impl Iterator<Item = &'static Shape> {
    SHAPES.iter().filter(|shape| needs.contains(&shape.need))
}

/// Returns its calls in the order of their actions, each with its purpose.
fn actions(shape: &Shape) -> Vec<(&'static str, &'static str)> {
    let mut actions: Vec<_> =
        shape.calls.iter().map(|call| (call.iam_action, call.why.trim())).collect();
    actions.sort_unstable();
    actions
}

/// The choice if the statements contain the purpose of each action. A template may have 51,200
/// bytes.
#[derive(Clone, Copy, PartialEq)]
enum Why {
    Said,
    LeftOut,
}

/// Returns the statements as a CloudFormation template has them, 14 blanks in.
fn cloudformation(needs: &[Need], reasons: Why) -> String {
    let mut text = String::new();
    for shape in shapes(needs) {
        let condition = match shape.need {
            Need::Termination => Some("MayTerminate"),
            Need::Rollouts => Some("MayRollOut"),
            Need::StopAfter => Some("MayStopTask"),
            Need::Deregister => Some("MayDeregister"),
            Need::Queue => Some("HasQueue"),
            Need::Role => Some("HasMemberRoles"),
            Need::Look
            | Need::Act
            | Need::Table
            | Need::Reader
            | Need::Operator
            | Need::Clusters
            | Need::Instances
            | Need::Groups
            | Need::Init => None,
        };
        let mut lines =
            vec![format!("- Sid: {}", shape.sid), "  Effect: Allow".into(), "  Action:".into()];
        for (action, why) in actions(shape) {
            lines.extend((reasons == Why::Said).then(|| format!("    # {why}")));
            lines.push(format!("    - {action}"));
        }
        lines.extend(cloudformation_resource(shape.on).into_iter().map(|line| format!("  {line}")));
        if let Some(condition) = condition {
            lines = lines.into_iter().map(|line| format!("  {line}")).collect();
            lines.splice(0..0, ["- !If".to_owned(), format!("  - {condition}")]);
            lines.push("  - !Ref AWS::NoValue".to_owned());
        }
        for line in lines {
            let _ = writeln!(text, "{:14}{line}", "");
        }
    }
    text
}

fn cloudformation_resource(on: On) -> Vec<String> {
    const ECS: &str = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}";
    const TABLE: &str =
        "!Sub arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${TableName}";
    let ecs = |rest: &str| vec![format!("Resource: !Sub {ECS}:{rest}")];
    match on {
        On::Anything => vec![r#"Resource: "*""#.to_owned()],
        On::Clusters => ecs("cluster/*"),
        On::ContainerInstances => ecs("container-instance/*"),
        On::Tasks => ecs("task/*"),
        On::Services => ecs("service/*"),
        On::ServiceRevisions => ecs("service-revision/*"),
        On::ServiceDeployments => ecs("service-deployment/*"),
        On::ChosenClusters => ecs("cluster/${ClusterNames}"),
        On::ContainerInstancesOfChosen => ecs("container-instance/${ClusterNames}/*"),
        On::TasksOfChosen => ecs("task/${ClusterNames}/*"),
        On::ChosenGroups => vec![
            r#"Resource: !Sub "arn:${AWS::Partition}:autoscaling:${AWS::Region}:${AWS::AccountId}:\"#.to_owned(),
            r#"  autoScalingGroup:*:autoScalingGroupName/${GroupNames}""#.to_owned(),
        ],
        On::Table | On::Asked | On::Paused => vec![format!("Resource: {TABLE}")],
        On::Lease => vec![
            format!("Resource: {TABLE}"),
            "Condition:".to_owned(),
            "  ForAllValues:StringLike:".to_owned(),
            "    dynamodb:LeadingKeys: [!Sub \"lease/${ControllerName}\"]".to_owned(),
        ],
        On::TableAndIndexes => {
            vec!["Resource:".to_owned(), format!("  - {TABLE}"), format!("  - {TABLE}/index/*")]
        }
        On::Queue => vec!["Resource: !GetAtt EventQueue.Arn".to_owned()],
        On::Roles => vec!["Resource: !Ref MemberRoleArns".to_owned()],
    }
}

/// Returns the statements as the Terraform module has them: those that allow nothing are left out
/// there.
fn terraform() -> String {
    let mut text = String::from("  statements = [\n");
    for shape in shapes(CONTROLLER) {
        let _ = writeln!(text, "    {{\n      sid = \"{}\"\n      actions = [", shape.sid);
        for (action, why) in actions(shape) {
            let _ = writeln!(text, "        # {why}\n        \"{action}\",");
        }
        let resources = terraform_resources(shape.on);
        let resources = match shape.need {
            Need::Termination => {
                format!("var.allow_terminate || var.allow_rollouts ? {resources} : []")
            }
            Need::Rollouts => format!("var.allow_rollouts ? {resources} : []"),
            Need::StopAfter => format!("var.allow_stop_task ? {resources} : []"),
            Need::Deregister => format!("var.allow_deregister ? {resources} : []"),
            Need::Look
            | Need::Act
            | Need::Table
            | Need::Queue
            | Need::Role
            | Need::Reader
            | Need::Operator
            | Need::Clusters
            | Need::Instances
            | Need::Groups
            | Need::Init => resources.to_owned(),
        };
        let keys = if shape.on == On::Lease { "\n      keys      = var.lease_keys" } else { "" };
        let _ = writeln!(text, "      ]\n      resources = {resources}{keys}\n    }},");
    }
    text.push_str("  ]\n");
    text
}

fn terraform_resources(on: On) -> &'static str {
    match on {
        On::Anything => r#"["*"]"#,
        On::Clusters => r#"["${local.ecs}:cluster/*"]"#,
        On::ContainerInstances => r#"["${local.ecs}:container-instance/*"]"#,
        On::Tasks => r#"["${local.ecs}:task/*"]"#,
        On::Services => r#"["${local.ecs}:service/*"]"#,
        On::ServiceRevisions => r#"["${local.ecs}:service-revision/*"]"#,
        On::ServiceDeployments => r#"["${local.ecs}:service-deployment/*"]"#,
        On::ChosenClusters => "local.chosen_clusters",
        On::ContainerInstancesOfChosen => "local.chosen_container_instances",
        On::TasksOfChosen => "local.chosen_tasks",
        On::ChosenGroups => "local.chosen_groups",
        On::Table | On::Lease | On::Asked | On::Paused => "var.table_arns",
        On::TableAndIndexes => {
            r#"flatten([for table in var.table_arns : [table, "${table}/index/*"]])"#
        }
        On::Queue => "var.queue_arns",
        On::Roles => "var.role_arns",
    }
}

/// Returns all permissions that any configuration needs, with the words that `README.md` has
/// replaced.
fn whole() -> String {
    let place = Place {
        partition: "aws".to_owned(),
        region: "REGION".to_owned(),
        account: "ACCOUNT".to_owned(),
        clusters: vec!["*".to_owned()],
        groups: vec!["*".to_owned()],
        tags: BTreeMap::new(),
        queue: Some("arn:aws:sqs:REGION:ACCOUNT:ecs-drain".to_owned()),
    };
    let subject = Subject {
        needs: CONTROLLER.iter().copied().collect::<BTreeSet<Need>>(),
        places: vec![place],
        table: "arn:aws:dynamodb:REGION:ACCOUNT:table/ecs-drain".to_owned(),
        controller: "default".to_owned(),
        may: May::default(),
        roles: vec!["arn:aws:iam::MEMBER:role/ecs-drain".to_owned()],
    };
    serde_json::to_string_pretty(&policy(&subject)).unwrap() + "\n"
}

fn at(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// Compares the text between two marks, or writes it.
fn compare(path: &str, between: Option<(&str, &str)>, wanted: &str) {
    let file = at(path);
    let text = std::fs::read_to_string(&file).unwrap();
    let (from, to) = match between {
        None => (0, text.len()),
        Some((begin, end)) => {
            let from = text.find(begin).unwrap_or_else(|| panic!("{path} has no line {begin:?}"));
            let from = from + text[from..].find('\n').unwrap() + 1;
            let to = text.find(end).unwrap_or_else(|| panic!("{path} has no line {end:?}"));
            (from, text[..to].rfind('\n').unwrap() + 1)
        }
    };
    if &text[from..to] == wanted {
        return;
    }
    if std::env::var_os("ECS_DRAIN_WRITE").is_some() {
        std::fs::write(&file, format!("{}{wanted}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    panic!(
        "deploy/{path} is not what it is made from says; ECS_DRAIN_WRITE=1 cargo test --test all templates writes it"
    );
}

const MARKS: Option<(&str, &str)> = Some(("# BEGIN policy", "# END policy"));

#[test]
fn the_policy_of_the_stack_is_what_a_controller_needs() {
    compare("cloudformation/ecs-drain.yaml", MARKS, &cloudformation(CONTROLLER, Why::LeftOut));
}

#[test]
fn the_policy_of_a_member_account_is_what_its_scopes_need() {
    compare("cloudformation/member.yaml", MARKS, &cloudformation(MEMBER, Why::Said));
}

#[test]
fn the_policy_of_the_module_is_what_a_controller_needs() {
    compare("terraform/modules/policy/main.tf", MARKS, &terraform());
}

#[test]
fn the_policy_to_read_is_all_that_a_controller_can_need() {
    compare("iam/policy.json", None, &whole());
}

/// Returns the blocks of Terraform's language, as far as these modules write it: the name, and the
/// attributes that are on one line or a heredoc.
fn blocks(text: &str, kind: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) =
            line.strip_prefix(kind).and_then(|rest| rest.strip_prefix(" \"")?.strip_suffix("\" {"))
        else {
            continue;
        };
        let mut attributes = BTreeMap::new();
        while let Some(line) = lines.next().filter(|line| *line != "}") {
            let Some((key, value)) = line.strip_prefix("  ").and_then(|line| line.split_once('='))
            else {
                continue;
            };
            if key.starts_with(' ') {
                continue;
            }
            let value = if value.trim() == "<<-EOT" {
                lines
                    .by_ref()
                    .map(str::trim)
                    .take_while(|line| *line != "EOT")
                    .collect::<Vec<_>>()
                    .join(" ")
            } else {
                value.trim().trim_end_matches("({").to_owned()
            };
            attributes.insert(key.trim().to_owned(), value);
        }
        blocks.push((name.to_owned(), attributes));
    }
    blocks
}

/// Returns the inputs and outputs of a module in the form of its README.
fn inputs_and_outputs(module: &str) -> String {
    let read = |file: &str| std::fs::read_to_string(at(module).join(file)).unwrap();
    let sentence =
        |of: &BTreeMap<String, String>| of["description"].trim_matches('"').replace("\\\"", "\"");
    let mut text =
        String::from("\n| input | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for (name, of) in blocks(&read("variables.tf"), "variable") {
        let kind = &of["type"];
        let kind = if kind.matches('(').count() == kind.matches(')').count() {
            kind.clone()
        } else {
            format!("{kind})")
        };
        let default = of.get("default").map_or("required".to_owned(), |value| format!("`{value}`"));
        let _ = writeln!(text, "| `{name}` | `{kind}` | {default} | {} |", sentence(&of));
    }
    text.push_str("\n| output | meaning |\n| --- | --- |\n");
    for (name, of) in blocks(&read("outputs.tf"), "output") {
        let _ = writeln!(text, "| `{name}` | {} |", sentence(&of));
    }
    text + "\n"
}

#[test]
fn the_pages_of_the_modules_have_their_inputs_and_outputs() {
    let module = "terraform/modules";
    let mut modules: Vec<String> =
        ["hook", "member", "policy", "queue"].map(|name| format!("{module}/{name}")).into();
    assert_eq!(
        std::fs::read_dir(at(module)).unwrap().count(),
        modules.len(),
        "a module is left out"
    );
    modules.push("terraform".to_owned());
    for module in modules {
        let marks = Some(("<!-- BEGIN inputs and outputs", "<!-- END inputs and outputs"));
        compare(&format!("{module}/README.md"), marks, &inputs_and_outputs(&module));
    }
}

/// The limits that IAM supports, as in the Service Authorization Reference (tables "Actions,
/// resources, and condition keys" of ECS, EC2 Auto Scaling, Elastic Load Balancing, SQS, STS,
/// DynamoDB): by action, the resource type's ARN without its name. An action that is not here has
/// no resource, and must be allowed on `*`.
const LIMITED: &[(&str, &str)] = &[
    ("ecs:DescribeClusters", "ecs:cluster/"),
    ("ecs:ListContainerInstances", "ecs:cluster/"),
    ("ecs:DeregisterContainerInstance", "ecs:cluster/"),
    ("ecs:DescribeContainerInstances", "ecs:container-instance/"),
    ("ecs:UpdateContainerInstancesState", "ecs:container-instance/"),
    ("ecs:ListTasks", "ecs:container-instance/"),
    ("ecs:DescribeTasks", "ecs:task/"),
    ("ecs:StopTask", "ecs:task/"),
    ("ecs:GetTaskProtection", "ecs:task/"),
    ("ecs:DescribeServices", "ecs:service/"),
    ("ecs:DescribeServiceDeployments", "ecs:service-deployment/"),
    ("ecs:DescribeServiceRevisions", "ecs:service-revision/"),
    ("autoscaling:CompleteLifecycleAction", "autoscaling:autoScalingGroup:"),
    ("autoscaling:RecordLifecycleActionHeartbeat", "autoscaling:autoScalingGroup:"),
    ("autoscaling:SetDesiredCapacity", "autoscaling:autoScalingGroup:"),
    ("autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:autoScalingGroup:"),
    ("sqs:ReceiveMessage", "sqs:"),
    ("sqs:DeleteMessage", "sqs:"),
    ("sts:AssumeRole", "iam:role/"),
    ("dynamodb:BatchGetItem", "dynamodb:table/"),
    ("dynamodb:CreateTable", "dynamodb:table/"),
    ("dynamodb:DeleteItem", "dynamodb:table/"),
    ("dynamodb:DescribeTable", "dynamodb:table/"),
    ("dynamodb:DescribeTimeToLive", "dynamodb:table/"),
    ("dynamodb:GetItem", "dynamodb:table/"),
    ("dynamodb:PutItem", "dynamodb:table/"),
    ("dynamodb:Query", "dynamodb:table/"),
    ("dynamodb:Scan", "dynamodb:table/"),
    ("dynamodb:UpdateItem", "dynamodb:table/"),
    ("dynamodb:UpdateTimeToLive", "dynamodb:table/"),
];

#[test]
fn each_action_is_allowed_on_what_iam_can_limit_it_to() {
    let limited: BTreeMap<&str, &str> = LIMITED.iter().copied().collect();
    let config = "[table]\nregion = \"eu-west-1\"\n[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"h\"]\n\
                  queue = \"https://sqs.eu-west-1.amazonaws.com/123456789012/q\"\nclusters = [\"web\"]\n\
                  groups = { names = [\"g\"], tags = { team = \"a\" } }\n[[scope]]\nregion = \"eu-west-1\"\n\
                  hooks = [\"h\"]\nrole = { arn = \"arn:aws:iam::210987654321:role/r\" }\n[policy]\n\
                  strategy = \"deregister\"\nstandalone_tasks = { stop_after = \"1h\" }\n";
    let config = Config::parse(config, "x", &Given::default()).unwrap();
    let everything = May::default();
    let whoms = [
        iam::Whom::Controller,
        iam::Whom::Operator(&everything),
        iam::Whom::Reader,
        iam::Whom::Init,
    ];
    let mut seen = BTreeSet::new();
    for whom in whoms {
        for statement in
            policy(&iam::subject(&config, whom, "123456789012", "eu-west-1", iam::Orders::RollOut))
                .statement
        {
            for action in &statement.action {
                seen.insert(*action);
                for resource in &statement.resource {
                    // arn:aws:ecs:eu-west-1:123456789012:cluster/web → ecs:cluster/web
                    let parts: Vec<&str> = resource.splitn(6, ':').collect();
                    match (limited.get(action), parts.as_slice()) {
                        (None, ["*"]) => {}
                        (Some(kind), [_, _, service, _, _, rest]) => {
                            assert!(
                                format!("{service}:{rest}").starts_with(kind),
                                "{action} on {resource}"
                            );
                        }
                        _ => panic!("{action} on {resource}"),
                    }
                }
                // (Source: Service Authorization Reference, EC2 Auto Scaling and DynamoDB: the
                // condition keys that are used here.)
                let known = statement.condition.values().flatten().all(|(key, _)| {
                    match action.split(':').next() {
                        Some("autoscaling") => key.starts_with("autoscaling:ResourceTag/"),
                        Some("dynamodb") => key == "dynamodb:LeadingKeys",
                        _ => false,
                    }
                });
                assert!(known, "{action}: {:?}", statement.condition);
            }
        }
    }
    // Each row of the table was used: none is superfluous.
    let unused: Vec<_> = limited.keys().filter(|action| !seen.contains(*action)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// Finds every file of the templates and the image.
fn files(folder: &std::path::Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') {
            files(&path, into);
        } else if path.is_file() {
            into.push(path);
        }
    }
}

/// Returns every word of a text with this prefix.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn the_templates_set_no_variable_that_is_never_read() {
    let known: BTreeSet<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
    let mut all = Vec::new();
    files(&at(""), &mut all);
    assert!(all.len() > 30, "{all:?}");
    for path in all {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        // Variables that only the tests of this repository read are not the program's.
        for name in words(&text, "ECS_DRAIN_").filter(|name| *name != "ECS_DRAIN_WRITE") {
            assert!(known.contains(name), "{}: {name}", path.display());
        }
    }
}

#[test]
fn every_alarm_is_on_a_metric_that_is_written() {
    let metrics = ecs_drain::metrics::Metrics::default();
    let line = ecs_drain::metrics::cloudwatch::Lines::default().next(
        &metrics,
        "x",
        "2026-01-05T09:00:00Z".parse().unwrap(),
    );
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut alarms = 0;
    for path in ["cloudformation/ecs-drain.yaml", "terraform/alarms.tf"] {
        let text = std::fs::read_to_string(at(path)).unwrap();
        for name in text.lines().filter_map(|line| line.trim().strip_prefix("MetricName: ")) {
            assert!(line.get(name).is_some() || name.starts_with("Approximate"), "{path}: {name}");
            alarms += 1;
        }
        for name in [
            "StuckDrains",
            "StoppedRollouts",
            "HeartbeatFailures",
            "Leads",
            "UnreadableRecords",
            "CallErrors",
            "WaitsLost",
        ] {
            assert!(line.get(name).is_some() && text.contains(name), "{path}: {name}");
        }
    }
    assert!(alarms >= 7, "{alarms}");
}

/// (Source: CloudFormation user guide, "Understand CloudFormation quotas": template body in a
/// request.)
#[test]
fn the_templates_are_small_enough_to_be_sent_without_a_bucket() {
    for name in ["ecs-drain.yaml", "member.yaml", "hook.yaml"] {
        let size = std::fs::metadata(at("cloudformation").join(name)).unwrap().len();
        assert!(size < 51_200, "{name} has {size} bytes");
    }
}

/// Returns the configuration that `!Sub` makes in the stack's template, with the parameters'
/// defaults or these.
fn configuration_of_the_stack(given: &[(&str, &str)]) -> String {
    let template = std::fs::read_to_string(at("cloudformation/ecs-drain.yaml")).unwrap();
    let from = template.find("  [[scope]]\n").unwrap();
    let to = from + template[from..].find("- Hooks:").unwrap();
    let to = from + template[from..to].rfind('\n').unwrap();
    let text: String =
        template[from..to].lines().map(|line| format!("{}\n", line.trim())).collect();
    let defaults = [
        ("AWS::Region", "eu-west-1"),
        ("Hooks", "ecs-drain"),
        ("ClusterNames", "*"),
        ("GroupNames", "*"),
        ("QueueLine", ""),
        ("Strategy", "drain"),
        ("StandaloneTasks", "\"wait\""),
        ("ExtraConfiguration", ""),
    ];
    let text = given
        .iter()
        .chain(&defaults)
        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    assert!(!text.contains("${"), "{text}");
    text
}

#[test]
fn the_configuration_in_the_stack_is_one() {
    let plain =
        Config::parse(&configuration_of_the_stack(&[]), "the stack", &Given::default()).unwrap();
    assert_eq!(plain.scopes.len(), 1);
    assert!(!plain.policies.deregister() && !plain.policies.stop_standalone_tasks());
    let full = configuration_of_the_stack(&[
        ("Hooks", "a\", \"b"),
        ("QueueLine", "queue = \"https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain\""),
        ("Strategy", "deregister"),
        ("StandaloneTasks", "{ stop_after = \"1h\" }"),
        (
            "ExtraConfiguration",
            "deadline = \"6h\"\n[[scope]]\nregion = \"eu-west-2\"\nhooks = [\"a\"]",
        ),
    ]);
    let full = Config::parse(&full, "the stack", &Given::default()).unwrap();
    assert_eq!((full.scopes.len(), full.scopes[0].hooks.len()), (2, 2));
    assert!(full.policies.deregister() && full.policies.stop_standalone_tasks());
    assert!(full.policies.default_policy().deadline.is_some());
}

#[test]
fn the_table_of_the_stack_is_the_one_that_the_program_checks_for() {
    use ecs_drain::store::schema;
    let template = std::fs::read_to_string(at("cloudformation/ecs-drain.yaml")).unwrap();
    let from = template.find("    Type: AWS::DynamoDB::Table").unwrap();
    let table = &template[from..from + template[from..].find("\n\n").unwrap()];
    let key = |name: &str, kind: &str| format!("{{ AttributeName: {name}, KeyType: {kind} }}");
    for line in [
        key(schema::KEY, "HASH"),
        format!("IndexName: {}", schema::UNFINISHED_INDEX),
        key(schema::UNFINISHED_OF, "HASH"),
        key(schema::UNFINISHED, "RANGE"),
        format!("IndexName: {}", schema::CLUSTER_INDEX),
        key(schema::CLUSTER, "HASH"),
        key(schema::KEY, "RANGE"),
        format!("AttributeName: {}\n        Enabled: true", schema::EXPIRES_AT),
        "BillingMode: PAY_PER_REQUEST".to_owned(),
        "DeletionProtectionEnabled: true".to_owned(),
        "PointInTimeRecoveryEnabled: true".to_owned(),
    ] {
        assert!(table.contains(&line), "{line} is not in\n{table}");
    }
    assert_eq!(table.matches("ProjectionType: KEYS_ONLY").count(), 2);
}
