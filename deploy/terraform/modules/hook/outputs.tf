output "name" {
  description = "The hook's name, for the controller's `hooks`."
  value       = var.name
}
