//! Checks of names. Only AWS knows whether a name exists.

/// Checks a controller's name, which is part of keys in the table.
///
/// # Errors
/// Returns the allowed form.
pub fn controller_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        Ok(())
    } else {
        Err("a controller's name has 1 to 64 letters, digits, dots, underscores or hyphens"
            .to_owned())
    }
}

/// Checks an address to listen on.
///
/// # Errors
/// Returns the allowed form.
pub(crate) fn address(text: &str) -> Result<(), String> {
    match text.parse::<std::net::SocketAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(
            "an address to listen on is an IP address and a port, such as \"127.0.0.1:8080\", or \
                       \"0.0.0.0:8080\" for every interface"
                .to_owned(),
        ),
    }
}

/// Checks a table's name against DynamoDB's rules. (Source: DynamoDB API reference, `CreateTable`,
/// `TableName`.)
///
/// # Errors
/// Returns the allowed form.
pub fn table_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (3..=255).contains(&name.len()) && name.chars().all(allowed) {
        Ok(())
    } else {
        Err("a table's name has 3 to 255 letters, digits, dots, underscores or hyphens".to_owned())
    }
}

/// Checks that a region has the right form: words and a number between hyphens. Only AWS knows
/// which regions exist.
///
/// # Errors
/// Returns the allowed form.
pub fn region(name: &str) -> Result<(), String> {
    let mut parts: Vec<&str> = name.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    let is_word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    if parts.len() >= 2 && parts.iter().all(is_word) && is_number {
        Ok(())
    } else {
        Err("a region looks like \"eu-west-1\"".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        for name in ["eu-west-1", "us-gov-west-1", "ap-southeast-12", "eusc-de-east-1"] {
            assert!(region(name).is_ok(), "{name}");
        }
        for name in
            ["", "Ireland", "eu-west", "eu-west-1a", "eu-west-1 ", "EU-WEST-1", "west-1", "eu--1"]
        {
            assert!(region(name).is_err(), "{name}");
        }
    }
}
