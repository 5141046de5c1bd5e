//! `ecs-drain amis`: counts the container instances of each cluster by AMI. It reads ECS with the
//! operator's own credentials, and changes nothing.

use crate::cli::select::{Image, Pick, Selection, Wanted, select};
use crate::cli::words::{Screen, brief};
use crate::cli::{Failure, Global};
use crate::config::{Given, Patterns};
use crate::quote::{self, plain};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain amis                        of every cluster of the configuration
  ecs-drain amis --cluster 'web-*'
  ecs-drain amis -o json

ACTIVE container instances count. OLDEST is the time since the oldest of them registered.";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// One line for each AMI of a cluster
    #[default]
    Table,
    /// A JSON array
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AmisArgs {
    /// Only these clusters; a name, or a pattern such as 'web-*'
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Vec<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// Lists the AMIs.
///
/// # Errors
/// Returns an error if AWS cannot be read, or no cluster has an `ACTIVE` container instance.
pub(crate) async fn run(
    args: &AmisArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let clusters = match args.cluster.as_slice() {
        [] => Patterns::all(),
        names => Patterns::new(names.to_vec()),
    };
    let config = global.load(&Given::default())?;
    let now = Timestamp::now();
    let selection = select(&config, &Wanted::Clusters(clusters, Pick::All), now).await?;
    if selection.sizes.is_empty() {
        return Err(Failure::failed("no cluster with ACTIVE container instances matches"));
    }
    match args.output {
        Output::Json => writeln!(out, "{}", quote::json(&document(&selection))?)?,
        Output::Table => out.write_all(table(&selection, now, Screen::detect()).as_bytes())?,
    }
    Ok(())
}

fn table(selection: &Selection, now: Timestamp, screen: Screen) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["CLUSTER", "AMI", "INSTANCES", "OLDEST", "ACCOUNT", "REGION"]);
    for ((account, region, cluster, ami), Image { count, oldest }) in &selection.amis {
        let oldest = oldest.map_or_else(|| "?".to_owned(), |at| brief(now.duration_since(at)));
        let ami = ami.as_deref().unwrap_or("not known");
        let row = [cluster, ami, &count.to_string(), &oldest, account, region];
        table.add_row(row.map(plain));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.trim_fmt();
    let mut lines = text.lines().map(str::trim_end);
    // The heading gets its escape sequences after the column widths are computed.
    let heading = screen.heading(lines.next().unwrap_or_default()) + "\n";
    lines.fold(heading, |shown, line| shown + line + "\n")
}

fn document(selection: &Selection) -> Value {
    let one = |((account, region, cluster, ami), image): (&(String, String, String, _), &Image)| {
        let ami: &Option<String> = ami;
        json!({
            "account": account, "region": region, "cluster": cluster, "ami": ami,
            "instances": image.count, "oldest_registered_at": image.oldest,
        })
    };
    Value::Array(selection.amis.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{compare, now};
    use jiff::SignedDuration;

    fn selection() -> Selection {
        let mut selection = Selection::default();
        for (cluster, ami, count, days) in [
            ("web-blue", Some("ami-0123456789abcdef0"), 9, 3),
            ("web-blue", Some("ami-0fedcba9876543210"), 2, 90),
            ("web-green", None, 1, 0),
        ] {
            let of = |text: &str| text.to_owned();
            let key = (of("123456789012"), of("eu-west-1"), of(cluster), ami.map(str::to_owned));
            let oldest = (days > 0).then(|| now() - SignedDuration::from_hours(24 * days));
            selection.amis.insert(key, Image { count, oldest });
        }
        selection
    }

    #[test]
    fn a_line_for_each_ami_of_a_cluster() {
        let shown = table(&selection(), now(), Screen::default());
        compare("amis", &shown);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }

    #[test]
    fn the_document_has_an_ami_that_is_not_known_as_null() {
        let document = document(&selection());
        assert_eq!(document[1]["ami"], "ami-0fedcba9876543210");
        assert_eq!(document[1]["instances"], 2);
        assert_eq!(document[2]["ami"], Value::Null);
    }
}
