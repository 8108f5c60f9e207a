output "tracking_uri" {
  description = "URL of the server, inside the VPC: FRAUDSTREAM_MLFLOW_TRACKING_URI."
  value       = "http://${local.host}:${local.port}"
}

output "bucket" {
  description = "Bucket of the models."
  value       = aws_s3_bucket.models.bucket
}

output "database_identifier" {
  description = "Name of the database, for its metrics."
  value       = aws_db_instance.this.identifier
}

output "bucket_arn" {
  description = "ARN of that bucket."
  value       = aws_s3_bucket.models.arn
}
