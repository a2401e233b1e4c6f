#pragma once
// The names, kinds and explanations of the controller's numbers. Thread: any; constant.
#include "agent/metrics.h"

namespace weir::agent::controller {

inline constexpr DescribedMetric kMetrics[] = {
    {"weir_build_info", false, "Always 1; the version is in the labels."},
    {"weir_controller_leader", false,
     "1 while this replica holds the Lease: it makes roots and writes status."},
    {"weir_controller_ready", false, "1 while this replica can sign."},
    {"weir_controller_sign_requests_total", true, "Requests of agents for certificates, by result."},
    {"weir_controller_trust_streams", false, "Agents that follow the trust bundle at this replica."},
    {"weir_controller_trust_version", false, "Version of the trust bundle."},
    {"weir_controller_root_errors", false,
     "1 while Secret or ConfigMap of the root cannot be read or written."},
    {"weir_controller_root_not_after_seconds", false, "When a root of the bundle expires, Unix time."},
    {"weir_controller_issuer_not_after_seconds", false, "When the issuer that signs expires, Unix time."},
    {"weir_controller_certificate_not_after_seconds", false,
     "When the controller's own certificate expires, Unix time."},
    {"weir_controller_status_objects", false,
     "Objects whose status the leader writes, by kind and judgement."},
    {"weir_controller_status_patches_total", true, "Patches of status subresources, by kind and result."},
};

}  // namespace weir::agent::controller
