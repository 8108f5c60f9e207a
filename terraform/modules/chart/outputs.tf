output "namespace" {
  description = "Namespace of the release."
  value       = kubernetes_namespace_v1.this.metadata[0].name
}

output "release_version" {
  description = "Version of the chart that is installed."
  value       = helm_release.this.version
}
