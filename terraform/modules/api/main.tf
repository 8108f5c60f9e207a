# The API alone, without Kubernetes: Fargate behind an internal load balancer, reached from outside through API Gateway.

data "aws_region" "current" {}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-api-balancer"
  description = "Load balancer of the API"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-api-balancer" }
}

resource "aws_security_group" "link" {
  name        = "${var.name}-api-link"
  description = "API Gateway's way into the VPC"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-api-link" }
}

resource "aws_security_group" "task" {
  name        = "${var.name}-api"
  description = "Tasks of the API"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-api" }
}

resource "aws_vpc_security_group_egress_rule" "link" {
  security_group_id            = aws_security_group.link.id
  description                  = "To the load balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  from_port                    = 443
  to_port                      = 443
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "HTTPS, from API Gateway"
  referenced_security_group_id = aws_security_group.link.id
  from_port                    = 443
  to_port                      = 443
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "To the tasks"
  referenced_security_group_id = aws_security_group.task.id
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "task" {
  security_group_id            = aws_security_group.task.id
  description                  = "HTTP, from the load balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "inside" {
  for_each          = { kafka = 9096, redis = 6379, mlflow = 5000 }
  security_group_id = aws_security_group.task.id
  description       = "To ${each.key}"
  cidr_ipv4         = var.vpc_cidr
  from_port         = each.value
  to_port           = each.value
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.task.id
  description       = "To AWS: images, logs, secrets"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:API Gateway writes the access log of every call; a second one would say the same
  #checkov:skip=CKV2_AWS_28:internal, and reached through API Gateway alone
  name                       = "${var.name}-api"
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = true
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:TLS ends at the load balancer; the tasks are reached by it alone
  name                 = "${var.name}-api"
  vpc_id               = var.vpc_id
  port                 = var.port
  protocol             = "HTTP"
  target_type          = "ip"
  deregistration_delay = 20
  # ECS replaces tasks that this check finds unhealthy, so it may not ask /readyz: while Redis is away that fails in all tasks, which would be replaced
  # in a circle, their copy of the model with them. Nor /livez: a version that no model fits would take the place of one that scores. /startupz
  # fails until a task could score once, and then only where it does not answer. While Redis is away callers get 503 with Retry-After.
  health_check {
    path                = "/startupz"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}
