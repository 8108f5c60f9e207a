# API Gateway: the routes that ask for a key and no others, a limit on calls, a log of each. Who may call, the API decides itself, by its keys.
# Probes, metrics and the OpenAPI document, which ask for none, stay inside the VPC.

locals {
  routes = [
    "POST /predict_one",
    "POST /predict_batch",
    "POST /v1/score",
    "POST /v1/labels",
    "GET /v1/cards/{card_id}",
    "GET /v1/terminals/{terminal_id}",
    "GET /v1/model",
    "GET /v1/rules",
    "GET /v1/rules/{code}",
    "POST /v1/rules",
    "POST /v1/rules/approvals",
    "POST /v1/rules/releases",
    "POST /v1/rules/disabled",
    "GET /v1/lists",
    "GET /v1/lists/{name}",
    "PUT /v1/lists/{name}",
    "POST /v1/lists/{name}/entries",
    "POST /v1/lists/{name}/removals",
  ]
}

resource "aws_apigatewayv2_api" "this" {
  name          = "${var.name}-api"
  protocol_type = "HTTP"
  description   = "Scores and explanations of card payments"
}

resource "aws_apigatewayv2_vpc_link" "this" {
  name               = "${var.name}-api"
  subnet_ids         = var.subnet_ids
  security_group_ids = [aws_security_group.link.id]
}

resource "aws_apigatewayv2_integration" "this" {
  api_id             = aws_apigatewayv2_api.this.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = aws_lb_listener.this.arn
  connection_type    = "VPC_LINK"
  connection_id      = aws_apigatewayv2_vpc_link.this.id
  tls_config {
    server_name_to_verify = var.domain_name
  }
}

resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309:the API asks for a key of its own, in the very header that a signature of IAM would take
  for_each           = toset(local.routes)
  api_id             = aws_apigatewayv2_api.this.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = "NONE"
}

resource "aws_cloudwatch_log_group" "gateway" {
  name              = "/${var.name}/api-gateway"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true
  default_route_settings {
    detailed_metrics_enabled = true
    throttling_burst_limit   = 500
    throttling_rate_limit    = 1000
  }
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.gateway.arn
    format = jsonencode({
      requestId = "$context.requestId"
      at        = "$context.requestTimeEpoch"
      route     = "$context.routeKey"
      status    = "$context.status"
      latencyMs = "$context.responseLatency"
      caller    = "$context.identity.sourceIp"
    })
  }
}
