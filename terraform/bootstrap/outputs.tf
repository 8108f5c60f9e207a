output "state_bucket" {
  description = "Bucket of the states."
  value       = aws_s3_bucket.state.bucket
}

output "lock_table" {
  description = "Table of their locks."
  value       = aws_dynamodb_table.lock.name
}
