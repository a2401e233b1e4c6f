#pragma once
// One TLS 1.3 connection without a socket: ciphertext in, plaintext and ciphertext out. BoringSSL does the handshake;
// from then on records.h protects the records, decrypting in the receive buffer and encrypting straight into the send
// queue, and BoringSSL's state is freed. An idle connection holds this object, two cipher states and the peer's
// certificates, no buffer. A dialler that keeps tickets holds BoringSSL's state until the first came, or data.
//
//   feed(received) → handshake() until done → read() until want_more → feed …      write(plaintext) …
//   After each call send output(), then consume_output(sent). After an error too: it may hold the alert.
//
// Owner: a lane's driver (upstream/, flow/). Thread: its worker. Lifetime: the worker's VerifiedChains, and who takes its
// tickets, outlive it.
#include <openssl/pool.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "nodeproxy/base/error.h"
#include "nodeproxy/tls/chains.h"
#include "nodeproxy/tls/context.h"
#include "nodeproxy/tls/output.h"
#include "nodeproxy/tls/records.h"
#include "nodeproxy/tls/verify.h"

namespace weir::tls {

enum class HandshakeState : uint8_t { want_more, done };

// What read() found.
struct Read {
  enum class Kind : uint8_t { want_more, data, closed };  // closed: close_notify came; nothing will follow
  Kind kind = Kind::want_more;
  std::span<std::byte> bytes;  // data: one record's plaintext, in place; until the next feed() or read()
};

// What a dialler may resume a session with, once; to be kept under who dialled whom.
struct Ticket {
  bssl::UniquePtr<SSL_SESSION> session;
  uint64_t generation = 0;  // of the Context that got it
  WallTime until{};         // its own end, or that of the first of the peer's certificates
};

class TicketEvents {
 public:
  virtual void on_ticket(Ticket ticket) = 0;

 protected:
  ~TicketEvents() = default;
};

// A dialler's part in resumption: what it offers, and who gets the next ticket. Without both, every handshake is full.
struct Resumption {
  Ticket offered;
  TicketEvents* events = nullptr;
};

class Session {
 public:
  // `expected` is the identity that the snapshot has for the dialled endpoint. Offers ALPN weir/1. The ClientHello is
  // in output() after the first handshake(). A ticket that another Context got, or whose chain the time or `expected`
  // now refuses, is not offered; one that the peer does not take leads to a full handshake. `chains` null: nothing is remembered.
  static Result<std::unique_ptr<Session>> dial(std::shared_ptr<const Context> context,
                                               const SpiffeId& expected, VerifiedChains* chains = nullptr,
                                               Resumption resumption = {});
  // Requires a client certificate and ALPN weir/1.
  static Result<std::unique_ptr<Session>> accept(std::shared_ptr<const Context> context,
                                                 VerifiedChains* chains = nullptr);
  ~Session();
  Session(const Session&) = delete;

  // Takes received bytes. They are decrypted where they lie: the memory must stay, and be ours to write, until
  // handshake() or read() has said want_more (what is left of a cut record is copied then), closed, or an error.
  // Not to be called while earlier bytes are unread.
  void feed(std::span<std::byte> ciphertext) { fed_ = ciphertext; }

  // Advances the handshake with what was fed. Bytes behind it stay for read(). Errors: our verdict on the peer
  // (Source::local: certificate_*, trust_domain, identity_mismatch, client_certificate_required, handshake_failed), or
  // the peer's on us (Source::peer, the same reasons from its alert). The detail names what exactly.
  Result<HandshakeState> handshake();

  // The next record's plaintext. Errors: tls_error (a record that does not open, or an alert, named in the detail), or
  // the certificate reasons with Source::peer: a client learns only here that its certificate was refused.
  Result<Read> read();
  // The transport ended: nothing when close_notify had come, else truncated (handshake_failed during the handshake).
  Status end_of_stream() const;

  // Appends plaintext, the pieces one behind the other, to output() in records as full as possible. Only after the
  // handshake and before shutdown().
  Status write(std::span<const std::span<const std::byte>> pieces);
  Status write(std::span<const std::byte> plaintext) { return write(std::span(&plaintext, 1)); }
  // Appends close_notify; nothing can be written any more, reading goes on.
  void shutdown();

  // After the handshake: whether the peer would be taken under this bundle, at a time when its chain was valid. Its leaf
  // may end while it is connected; the end of its root is another matter.
  Status judge_again(const Bundle& bundle) const;
  // Instead of shutdown(): tells the peer by an alert why it is not wanted any more.
  void refuse(Reason reason);

  // The oldest contiguous piece to send. Stays where it is until consumed, also while more is written behind it.
  std::span<const std::byte> output() const { return output_.front(); }
  size_t output_bytes() const { return output_.bytes(); }  // in all pieces
  void consume_output(size_t n) { output_.consume(n); }    // at most output().size()

  bool established() const { return reader_.has_value(); }
  bool close_received() const { return close_received_; }
  const Context& context() const { return *context_; }

  // After the handshake.
  const SpiffeId& peer_identity() const { return peer_->identity; }
  WallTime peer_not_after() const { return peer_->not_after; }  // the earliest of the peer's chain
  std::string_view alpn() const { return "weir/1"; }            // the only one that a handshake ends with
  std::string_view cipher() const { return cipher_; }           // "TLS_AES_128_GCM_SHA256"
  bool resumed() const { return resumed_; }

 private:
  friend struct Bio;
  friend struct TicketMethod;
  friend ssl_verify_result_t verify_peer(SSL* ssl, uint8_t* alert);
  Session(std::shared_ptr<const Context> context, std::optional<SpiffeId> expected, VerifiedChains* chains)
      : context_(std::move(context)),
        expected_(std::move(expected)),
        chains_(chains),
        dialler_(expected_.has_value()) {}
  static Result<std::unique_ptr<Session>> make(std::shared_ptr<const Context> context,
                                               std::optional<SpiffeId> expected, VerifiedChains* chains);
  WallTime wall_now() const;
  Result<Verified> judge(const STACK_OF(CRYPTO_BUFFER) * sent) const;
  Status take_peer();
  void offer(Resumption resumption);
  bool take_ticket(std::span<const std::byte> message);
  Status finish_handshake();
  std::unexpected<Error> end(Error error);
  std::unexpected<Error> end_broken(uint8_t alert);
  Result<std::span<std::byte>> next_record();

  std::shared_ptr<const Context> context_;
  std::optional<SpiffeId> expected_;  // the dialler's
  VerifiedChains* chains_;
  TicketEvents* tickets_ = nullptr;
  bssl::UniquePtr<SSL> ssl_;  // until the handshake is done; if there may be a ticket, until that or data
  std::optional<RecordReader> reader_;
  std::optional<RecordWriter> writer_;
  Output output_;
  std::span<std::byte> fed_;  // the caller's memory, unread
  RecordAssembly cut_record_;
  std::optional<Verified> peer_;
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> peer_chain_;  // to judge it again
  WallTime chain_until_{};                               // acceptor: of the chain in the ticket that came
  std::optional<Error> ended_;  // what ended the session; during the handshake the verdict on the peer
  std::string_view cipher_;
  uint32_t handshake_bytes_ = 0;
  bool dialler_;
  bool resumed_ = false;
  bool close_received_ = false;
  bool close_sent_ = false;
  bool update_owed_ = false;  // a KeyUpdate before the next data
};

}  // namespace weir::tls
