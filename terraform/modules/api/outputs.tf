output "url" {
  description = "Address of the API; calls carry one of its keys."
  value       = aws_apigatewayv2_api.this.api_endpoint
}

output "security_group_id" {
  description = "Security group of the tasks: Kafka, Redis and MLflow let it in."
  value       = aws_security_group.task.id
}

output "load_balancer_suffix" {
  description = "The load balancer as its metrics name it."
  value       = aws_lb.this.arn_suffix
}
