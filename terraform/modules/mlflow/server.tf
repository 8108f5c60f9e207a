# The MLflow server on Fargate, reached inside the VPC alone, by a name of its own.

data "aws_region" "current" {}

locals {
  port = 5000
  host = "mlflow.${aws_service_discovery_private_dns_namespace.this.name}"
  # The password comes from RDS as it is; in a URL its signs must be written as %XX.
  start = join(" ", [
    "export MLFLOW_BACKEND_STORE_URI=\"postgresql+psycopg2://mlflow:$(python -c 'import os, urllib.parse as u; print(u.quote(os.environ[\"DATABASE_PASSWORD\"], safe=\"\"))')@${aws_db_instance.this.address}:5432/mlflow?sslmode=require\"",
    "&& exec mlflow server --host=0.0.0.0 --port=${local.port} --workers=2 --serve-artifacts",
    "--artifacts-destination=s3://${aws_s3_bucket.models.bucket} --allowed-hosts=${local.host}:${local.port},localhost:${local.port}",
  ])
}

resource "aws_security_group" "server" {
  name        = "${var.name}-mlflow"
  description = "MLflow server"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-mlflow" }
}

resource "aws_vpc_security_group_ingress_rule" "server" {
  for_each                     = var.client_security_group_ids
  security_group_id            = aws_security_group.server.id
  description                  = "MLflow, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = local.port
  to_port                      = local.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "server" {
  for_each          = { https = 443, postgresql = 5432 }
  security_group_id = aws_security_group.server.id
  description       = "To AWS (${each.key})"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = each.value
  to_port           = each.value
  ip_protocol       = "tcp"
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "Names inside the VPC"
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "mlflow" {
  name = "mlflow"
  dns_config {
    namespace_id = aws_service_discovery_private_dns_namespace.this.id
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

resource "aws_cloudwatch_log_group" "server" {
  name              = "/${var.name}/mlflow"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

data "aws_iam_policy_document" "tasks_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-mlflow-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "execution" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_db_instance.this.master_user_secret[0].secret_arn]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "read-password"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-mlflow"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
}

data "aws_iam_policy_document" "task" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.models.arn]
  }
  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.models.arn}/*"]
  }
  statement {
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role_policy" "task" {
  name   = "models"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-mlflow"
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-mlflow"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 1024
  memory                   = 2048
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  volume {
    name = "tmp"
  }
  container_definitions = jsonencode([{
    name                   = "mlflow"
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    entryPoint             = ["sh", "-c"]
    command                = [local.start]
    portMappings           = [{ containerPort = local.port, protocol = "tcp" }]
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    environment = [
      { name = "AWS_DEFAULT_REGION", value = data.aws_region.current.region },
      { name = "HOME", value = "/tmp" },
    ]
    secrets = [{ name = "DATABASE_PASSWORD", valueFrom = "${aws_db_instance.this.master_user_secret[0].secret_arn}:password::" }]
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://localhost:${local.port}/health', timeout=3)"]
      interval    = 15
      timeout     = 5
      retries     = 5
      startPeriod = 60
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.server.name
        "awslogs-region"        = data.aws_region.current.region
        "awslogs-stream-prefix" = "mlflow"
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  name            = "mlflow"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = 1
  launch_type     = "FARGATE"
  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.server.id]
    assign_public_ip = false
  }
  service_registries {
    registry_arn = aws_service_discovery_service.mlflow.arn
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
}
