//! `ecs-drain describe`: shows everything about the drain of one instance. It reads the DynamoDB
//! table. If the index does not show the drain, it also reads the account's id from STS.

use crate::cli::find::{self, Places, is_name};
use crate::cli::get::value;
use crate::cli::options::{Flags, options};
use crate::cli::sheet::{Around, sheet};
use crate::cli::words::Screen;
use crate::cli::{Failure, Global, TableArgs, yaml};
use crate::quote::{self, plain};
use crate::store::Read;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain describe i-0123456789abcdef0
  ecs-drain describe 123456789012/eu-west-1/i-0123456789abcdef0
  ecs-drain describe i-0123456789abcdef0 -o json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DescribeArgs {
    /// The EC2 instance id, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Format of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A page for people
    Text,
    /// The record as JSON
    Json,
    /// The record as YAML
    Yaml,
}

/// Shows the drain of an instance.
///
/// # Errors
/// Returns an error if the instance has no drain or several, or the table cannot be read.
pub(crate) async fn run(
    args: &DescribeArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    is_name(&args.instance)?;
    let (sdk, store) = global.connect(&args.table).await?;
    let places = Places::new(global, &args.table, &sdk)?;
    let mut found = find::records(&store, &places, std::slice::from_ref(&args.instance)).await?;
    let (key, read) = found
        .remove(&args.instance)
        .unwrap_or_else(|| Err("not looked for".to_owned()))
        .map_err(|why| Failure::failed(plain(&why)))?;
    let text = match args.output {
        Output::Json => quote::json(&value(&key, &read)?)? + "\n",
        Output::Yaml => yaml::document(&value(&key, &read)?)?,
        Output::Text => {
            let choices = match &read {
                Read::Record(record) => {
                    let flags = Flags::new(&args.table, record, store.controller());
                    let flags = flags.with_config(global);
                    // If pauses cannot be read, the record's own message reports it.
                    let pauses = store.pauses().await.unwrap_or_default();
                    options(record, &pauses, &flags)
                }
                Read::Newer { .. } | Read::Unreadable { .. } => Vec::new(),
            };
            let (now, screen) = (Timestamp::now(), Screen::detect());
            sheet(&read, &Around { now, screen, choices, key: &key })
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}
