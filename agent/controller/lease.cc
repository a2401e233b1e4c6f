// Reading, taking, renewing and giving back the Lease. See lease.h.
#include "agent/controller/lease.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/kube/json.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;

int64_t number_at(const Json& object, const char* pointer) {
  const Json::json_pointer at(pointer);
  return object.contains(at) && object[at].is_number_integer() ? object[at].get<int64_t>() : 0;
}

}  // namespace

std::string Lease::path() const {
  return "/apis/coordination.k8s.io/v1/namespaces/" + options_.ns + "/leases/" + options_.name;
}

void Lease::set_leads(bool leads) {
  if (leads_ == leads) return;
  leads_ = leads;
  changed_(leads);
}

void Lease::tick(Clock::time_point now) {
  if (released_) return;
  if (leads_ && now - renewed_at_ >= options_.renew_deadline) {
    log::error("the Lease could not be renewed for {} s: no longer the leader",
               options_.renew_deadline.count());
    set_leads(false);
  }
  if (under_way_) return;
  under_way_ = true;
  ask_("GET", path(), "", "", [this, now](const Result<kube::Answer>& answer) { read_answer(now, answer); });
}

void Lease::read_answer(Clock::time_point asked_at, const Result<kube::Answer>& answer) {
  under_way_ = false;
  if (released_) return;
  if (answer && answer->status == 404) return take(asked_at, "");
  const Json lease = is_success(answer) ? Json::parse(answer->body, nullptr, false) : Json();
  if (!lease.is_object()) return log::warn("the Lease cannot be read: {}", trouble_of(answer));
  const std::string version = kube::text_member(lease, "/metadata/resourceVersion");
  if (version != seen_version_ || seen_version_.empty()) {
    seen_version_ = version;
    seen_holder_ = kube::text_member(lease, "/spec/holderIdentity");
    seen_life_ = std::chrono::seconds(number_at(lease, "/spec/leaseDurationSeconds"));
    seen_at_ = asked_at;
  }
  const bool ours = seen_holder_ == options_.holder;
  if (!ours && !seen_holder_.empty() && asked_at - seen_at_ < seen_life_) return set_leads(false);
  take(asked_at, answer->body);
}

// Writes the Lease as ours: a new one, or over what was found, unless somebody else was quicker (409).
void Lease::take(Clock::time_point asked_at, const std::string& found) {
  Json lease = found.empty() ? Json{{"apiVersion", "coordination.k8s.io/v1"},
                                    {"kind", "Lease"},
                                    {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}}}
                             : Json::parse(found);
  const std::string now = wall_();
  Json& spec = lease["spec"];
  if (kube::text_member(lease, "/spec/holderIdentity") != options_.holder) {
    spec["leaseTransitions"] = number_at(lease, "/spec/leaseTransitions") + (found.empty() ? 0 : 1);
    spec["acquireTime"] = now;
  }
  spec["holderIdentity"] = options_.holder;
  spec["leaseDurationSeconds"] = options_.life.count();
  spec["renewTime"] = now;
  const std::string collection = path().substr(0, path().rfind('/'));
  under_way_ = true;
  ask_(found.empty() ? "POST" : "PUT", found.empty() ? collection : path(), kJson, lease.dump(),
       [this, asked_at](Result<kube::Answer> answer) {
         under_way_ = false;
         if (released_) return;
         if (!is_success(answer)) {
           // Somebody was quicker: the next reading says who.
           if (!answer || answer->status != 409)
             log::warn("the Lease cannot be written: {}", trouble_of(answer));
           return;
         }
         renewed_at_ = asked_at;
         seen_holder_ = options_.holder;
         set_leads(true);
       });
}

void Lease::release(std::function<void()> done) {
  released_ = true;
  const bool led = leads_;
  set_leads(false);
  if (!led) return done();
  ask_("GET", path(), "", "", [this, done = std::move(done)](Result<kube::Answer> answer) {
    Json lease = is_success(answer) ? Json::parse(answer->body, nullptr, false) : Json();
    if (!lease.is_object() || kube::text_member(lease, "/spec/holderIdentity") != options_.holder)
      return done();
    // As client-go gives back: the version that was read guards against taking it from a successor.
    lease["spec"]["holderIdentity"] = "";
    lease["spec"]["leaseDurationSeconds"] = 1;
    lease["spec"]["renewTime"] = wall_();
    ask_("PUT", path(), kJson, lease.dump(), [done](const Result<kube::Answer>& put) {
      if (!is_success(put)) log::warn("the Lease could not be given back: {}", trouble_of(put));
      done();
    });
  });
}

}  // namespace weir::agent::controller
