#pragma once
// From what llhttp found to an http::Head: takes targets and fields one by one, keeps what belongs to the message and
// judges what belongs to the connection (framing, Host, Connection and what it names, Upgrade, TE, Expect). `finish`
// says how the message goes on, or which rule it broke.
// Owner: a decoder; refilled for each message. Source: RFC 9112 sections 3, 6 and 9, RFC 9110 sections 7.2, 7.6.1, 7.8.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nodeproxy/http/h1_grammar.h"
#include "nodeproxy/http/message.h"

namespace weir::http::h1 {

// What a response must know of its request.
struct Asked {
  bool head = false;     // HEAD
  bool connect = false;  // CONNECT
  std::string upgrade;   // the protocols offered, as Head::upgrade had them; empty: none
};

class HeadBuilder {
 public:
  explicit HeadBuilder(Head& head) : head_(head) {}

  void reset(bool request);  // and clears the head
  void field(std::string_view name, std::string_view value);
  // After the last field; the head's method and target, or its status, and its version are given.
  Refusal finish_request(std::string_view target);
  Refusal finish_response(const Asked& asked);

  // After a finish that refused nothing.
  Body body() const { return body_; }
  uint64_t length() const { return length_; }      // of Body::length
  bool keep_alive() const { return keep_alive_; }  // its sender may send another message
  // The connection carries another protocol behind this message: a 101, or a 2xx to CONNECT.
  bool tunnel() const { return tunnel_; }
  // Framing as it was written, for comparison with llhttp's.
  bool chunked() const { return encodings_ > 0 && chunked_; }
  std::optional<uint64_t> written_length() const { return written_length_; }

 private:
  void refuse(const char* rule, uint16_t status = 400);
  Refusal framing();
  Refusal target(std::string_view target);
  Refusal absolute(std::string_view target);
  Refusal switching(const Asked& asked);
  void connection();
  void upgrade();
  void expect();

  Head& head_;
  std::string connection_, upgrade_;  // values of all their fields, comma-joined
  uint32_t hosts_ = 0, lengths_ = 0, encodings_ = 0;
  bool request_ = false, expects_ = false;
  bool chunked_ = false, te_trailers_ = false, wants_upgrade_ = false, keep_alive_ = false, tunnel_ = false;
  Body body_ = Body::none;
  uint64_t length_ = 0;
  std::optional<uint64_t> written_length_;
  Refusal refusal_;
};

}  // namespace weir::http::h1
