# terraform test (1.7 and later: mock providers). No account is needed.
mock_provider "aws" {}

variables {
  name            = "fraud-test"
  vpc_id          = "vpc-1"
  vpc_cidr        = "10.40.0.0/16"
  subnet_ids      = ["subnet-1", "subnet-2"]
  kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/1"
  image           = "registry/worker:0.1.0"
  certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
  domain_name     = "fraud.example.com"
  environment     = { FRAUDSTREAM_LOG_FORMAT = "json" }
  secrets         = { FRAUDSTREAM_REDIS_URL = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis" }
  keys_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys"
  secret_arns     = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis"]
}

run "the_balancer_is_internal" {
  command = plan
  assert {
    condition     = aws_lb.this.internal && aws_ecs_service.this.network_configuration[0].assign_public_ip == false
    error_message = "Nobody goes past API Gateway."
  }
}

run "only_routes_that_ask_for_a_key_are_reached" {
  command = plan
  assert {
    condition     = length(aws_apigatewayv2_route.this) == 7 && alltrue([for key, route in aws_apigatewayv2_route.this : !strcontains(key, "default") && !strcontains(key, "metrics")])
    error_message = "Metrics and probes stay inside."
  }
}

run "an_outage_replaces_no_task" {
  command = plan
  assert {
    condition     = aws_lb_target_group.this.health_check[0].path == "/startupz" && aws_ecs_service.this.health_check_grace_period_seconds >= 120
    error_message = "ECS replaces what the target group calls unhealthy: it asks neither Redis nor, before its model is there, a new task."
  }
}

run "fewer_than_one_task_is_refused" {
  command = plan
  variables {
    size = { minimum = 0 }
  }
  expect_failures = [var.size]
}
