#pragma once
// The gRPC side of the controller: calls become questions to the desk, trust bundles a stream for each agent.
//
// Concept: gRPC calls in on threads of its own; whatever is more than reading the call's metadata is posted to the loop.
// A call is finished exactly once, by the loop. Streams get the bundle once their token was judged, and again whenever it
// changes; one that is slow gets the newest when it can take it.
// Owner: the app. Thread: the loop's, but for gRPC's own calls. Lifetime: stop() ends every call while the loop turns; it
// is destroyed after its `stopped`.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "agent/controller/ca.grpc.pb.h"
#include "agent/controller/desk.h"
#include "agent/loop/loop.h"
#include "agent/metrics.h"

namespace weir::agent::controller {

class Service final : public ca::v1::CertificateAuthority::CallbackService {
 public:
  Service(Loop& loop, Desk& desk, Metrics& metrics);
  ~Service() override;

  // Listens with the certificate in the file, which may change. Errors: an address that cannot be bound.
  Status start(const std::string& address, const std::string& certificate_path);
  int port() const { return port_; }

  void set_bundle(uint64_t version, const std::vector<std::string>& roots);
  // Refuses what comes, ends what is there within `grace`, then calls `stopped` on the loop.
  void stop(std::chrono::seconds grace, std::function<void()> stopped);

  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context, const ca::v1::SignRequest* request,
                                 ca::v1::SignAnswer* answer) override;
  grpc::ServerWriteReactor<ca::v1::TrustBundle>* Trust(grpc::CallbackServerContext* context,
                                                       const ca::v1::TrustRequest* request) override;

 private:
  class Stream;

  void opened(Stream* stream, const std::string& token);
  void closed(uint64_t id);

  Loop& loop_;
  Desk& desk_;
  Metrics& metrics_;
  ca::v1::TrustBundle bundle_;
  std::map<uint64_t, std::unique_ptr<Stream>> streams_;  // each goes when gRPC is done with it
  std::atomic<uint64_t> next_stream_{1};
  bool stopping_ = false;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::thread shutdown_;
};

}  // namespace weir::agent::controller
