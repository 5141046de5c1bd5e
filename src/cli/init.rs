//! `ecs-drain init`: creates the table, or checks it.

use crate::cli::{Failure, Global, TableArgs};
use crate::store::TableOptions;
use clap::Args;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain init                                   create table ecs-drain, or check it if it exists
  ecs-drain init --check                           only check
  ecs-drain init --table drains --deletion-protection

Running it again changes nothing. The table is billed on demand; finished records expire by DynamoDB's TTL.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Only check; fail if the table is missing or wrong
    #[arg(long)]
    pub check: bool,
    /// Turn on deletion protection for the new table
    #[arg(long, conflicts_with = "check")]
    pub deletion_protection: bool,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Creates or checks the table.
///
/// # Errors
/// Returns an error if the table cannot be created, or is missing or wrong.
pub(crate) async fn run(
    args: &InitArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = global.store(&args.table).await?;
    if args.check {
        store.check().await?;
    } else {
        store.create_table(TableOptions { deletion_protection: args.deletion_protection }).await?;
    }
    writeln!(out, "table {} is ready", store.table())?;
    Ok(())
}
