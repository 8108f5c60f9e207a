provider "aws" {
  region = var.region
  default_tags {
    tags = {
      application = "fraudstream"
      environment = "dev"
      workspace   = terraform.workspace
      managed-by  = "terraform"
      cost-center = var.cost_center
    }
  }
}

locals {
  kubernetes_login = {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "aws"
    args        = ["eks", "get-token", "--region", var.region, "--cluster-name", module.fraudstream.cluster.name]
  }
}

provider "kubernetes" {
  host                   = module.fraudstream.cluster.endpoint
  cluster_ca_certificate = base64decode(module.fraudstream.cluster.ca_certificate)
  exec {
    api_version = local.kubernetes_login.api_version
    command     = local.kubernetes_login.command
    args        = local.kubernetes_login.args
  }
}

provider "helm" {
  kubernetes {
    host                   = module.fraudstream.cluster.endpoint
    cluster_ca_certificate = base64decode(module.fraudstream.cluster.ca_certificate)
    exec {
      api_version = local.kubernetes_login.api_version
      command     = local.kubernetes_login.command
      args        = local.kubernetes_login.args
    }
  }
}
