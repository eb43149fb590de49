// SPDX-License-Identifier: Apache-2.0

/**
 * Every bound of the system, in one place. Times are in milliseconds, sizes in bytes. None of them is a setting: they
 * are part of the protocol or guard the process; what an operator may tune is in the configuration.
 */

// Texts (see the proto files).
export const MAX_HOST_LENGTH = 253;
export const MAX_PORT = 65_535;
export const MAX_DISPLAYS_PER_DOMAIN = 16;
export const MAX_NAME_LENGTH = 255;
export const MAX_TEXT_LENGTH = 1_024;
export const MAX_CONSOLE_TYPE_LENGTH = 32;
export const MAX_TOKEN_LENGTH = 128;
export const MAX_REQUEST_ID_LENGTH = 128;
export const MAX_SESSION_ID_LENGTH = 64;

// Lists.
export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1_000;
export const MAX_PAGE_TOKEN_LENGTH = 1_024;

// The agent stream (agent.proto says the same).
export const MAX_MESSAGE_BYTES = 1024 * 1024;
export const SNAPSHOT_PAGE_DOMAINS = 200;
export const MAX_DOMAINS_PER_HOST = 10_000;
export const MAX_REQUESTS_PER_AGENT = 256;
export const MAX_QUEUED_BYTES = 1024 * 1024;
export const MAX_QUEUED_REPORTS = 10_000;
/** In the reports of one agent that wait for the database: some whole inventories, or a storm of events. */
export const MAX_QUEUED_DOMAINS = 3 * MAX_DOMAINS_PER_HOST;
export const HELLO_MS = 5_000;
export const MAX_REQUEST_MS = 5_000;
export const AGENT_ANSWERS_EARLY_MS = 300;
export const REPLACED_WAIT_MS = 60_000;
export const REPLACEMENTS_BEFORE_ALARM = 3;
export const REPLACEMENT_WINDOW_MS = 5 * 60_000;
export const KEEPALIVE_INTERVAL_MS = 8_000;
export const KEEPALIVE_TIMEOUT_MS = 8_000;
export const RECONNECT_BACKOFF = { firstMs: 200, mostMs: 10_000 };
export const DRAIN_RECONNECT_MIN_MS = 100;
export const DRAIN_RECONNECT_MAX_MS = 2_000;
/** Controllers that agents are told of, and addresses that an agent takes from what it is told. */
export const MAX_PEERS = 64;
/** Agents dial a controller that they are told of at a random moment within; the listener takes 2,000 a second. */
export const PEER_DIAL_WINDOW_MS = 5_000;
/** How long no list may have named a learned controller before an attempt that fails is the last one. */
export const FORGET_PEER_MS = 30_000;
/** Agents that are told of a change among the controllers before the event loop turns. */
export const PEERS_TOLD_TOGETHER = 256;
/** From dialling to Welcome. */
export const WELCOME_MS = 10_000;
/** How long a snapshot page may wait until the connection takes it. */
export const PAGE_TAKEN_MS = 10_000;
/** How long the other side may take to end a stream that we have ended. */
export const STREAM_END_MS = 1_000;
/** The longest wait that a controller can impose on an agent. */
export const MAX_RECONNECT_WAIT_MS = 60 * 60_000;
/** Lines a second about failed requests; more are only counted. */
export const FAILURE_LINES_PER_SECOND = 10;

// The inventory.
/** Connections to Postgres for what is short about agents (joining, leaving, one change); the others are for callers. */
export const AGENT_DB_CONNECTIONS = 2;
export const MAX_WAITING_AGENTS = 20_000;
/** Less than an agent waits for its Welcome: what came later would be of no use. */
export const AGENT_WAITS_MS = 8_000;
/** And for whole inventories: after a start thousands wait, and none is to be thrown away and sent again. */
export const INVENTORY_DB_CONNECTIONS = 3;
export const INVENTORY_WAITS_MS = 120_000;
export const CATCH_UP_MS = 1_000;
export const INVENTORY_GRACE_MS = 15_000;
export const UNDEFINED_GRACE_MS = 30_000;
export const TOMBSTONE_DAYS = 7;
export const FAULTS_PER_INSTANCE = 10;
export const MAX_PENDING_FAULTS = 1_000;
/** Instances that other controllers have changed and that wait to be read; with more everything is read. */
export const MAX_HEARD_CHANGES = 10_000;

// libvirt.
export const LIBVIRT_KEEPALIVE_S = 2;
export const LIBVIRT_KEEPALIVE_COUNT = 3;
export const LIBVIRT_CALL_MS = 5_000;
export const LIBVIRT_LIST_MS = 30_000;
export const SNAPSHOT_BACKOFF = { firstMs: 200, mostMs: 10_000 };
export const MAX_QUESTIONS_TOGETHER = 8;
export const MAX_QUEUED_LIBVIRT_CALLS = 1_024;
export const MAX_DOMAIN_XML_BYTES = 1024 * 1024;
export const MAX_XML_DEPTH = 256;
export const LIBVIRT_OPEN_MS = 15_000;
/** How long a starting agent waits for libvirt before it greets the controllers all the same. */
export const LIBVIRT_FIRST_MS = 2_000;
export const LIBVIRT_REOPEN_MS = 1_000;
export const LIBVIRT_FREE_MS = 1_500;
export const LIBVIRT_FREE_INTERVAL_MS = 50;
/** How long a guest's QEMU may leave a command unanswered before nothing more is asked of it. */
export const LIBVIRT_MONITOR_BUSY_MS = 1_000;
export const LIBVIRT_STOP_GRACE_MS = 250;
export const LIBVIRT_PAGE_DOMAINS = 100;
/** How late an event of libvirt may be noticed at most. */
export const LIBVIRT_LOOP_REST_MS = 5;
export const LIBVIRT_BACKOFF = { firstMs: 200, mostMs: 5_000 };

// Displays and their tunnels.
export const OPEN_DISPLAY_MS = 5_000;
/** Displays of one instance that are being opened at the same time: one machine that hangs is not to occupy its host's agent. */
export const MAX_OPENING_PER_INSTANCE = 32;
/** How long the tunnel's HTTP request, or its answer, may take. */
export const TUNNEL_HANDSHAKE_MS = 5_000;
/** Per agent; each takes two descriptors. */
export const MAX_TUNNELS_PER_AGENT = 4_096;
export const MAX_TUNNEL_SECRET_LENGTH = 128;
export const MAX_WAITING_TUNNELS = 1_024;
export const MAX_TUNNEL_HEADER_BYTES = 4_096;
/** Without traffic for so long a tunnel is probed by the kernel; ten probes without an answer, a second each, end it. */
export const TUNNEL_KEEPALIVE_MS = 8_000;
/** How long the last bytes of one side may take to the other. */
export const TUNNEL_LAST_BYTES_MS = 1_000;
/** A display's socket reads as much at a time while pictures flow, and as little while not. */
export const BIG_READ_BYTES = 256 * 1024;
export const SMALL_READ_BYTES = 64 * 1024;
/** By how much of its size the heap may grow before all of it is collected. */
export const HEAP_GROWING_PERCENT = 150;
/** Large read buffers that are kept for the next one who needs some: 16 MiB. */
export const MAX_SPARE_READ_BUFFERS = 64;
/** What Nova's column holds of a path behind a display's port, and what the answer to its CONNECT may say before the display does. */
export const MAX_ACCESS_PATH_LENGTH = 255;
export const MAX_CONNECT_ANSWER_BYTES = 4_096;

// The legacy store of console tokens.
/** In the memory of one process: about 100 MiB. */
export const MAX_LEGACY_TOKENS = 100_000;
/** The list of one instance in memcached then has 75 KiB. */
export const MAX_LEGACY_TOKENS_PER_INSTANCE = 1_000;
/** How long a request waits for the legacy store before the database answers alone. */
export const LEGACY_CALL_MS = 1_000;
export const LEGACY_RECONNECT_BACKOFF = { firstMs: 100, mostMs: 1_000 };
/** Questions to the legacy store at the same time, and how many more may wait for their turn. */
export const MAX_LEGACY_CALLS = 64;
export const MAX_WAITING_LEGACY_CALLS = 1_000;
/** Without a failure for so long what others depend on (the legacy store, Keystone) is well again. */
export const OUTAGE_SETTLES_MS = 3_000;
/** For one command to memcached, and for all that make one step of the store; less than a caller waits. */
export const MEMCACHED_COMMAND_MS = 400;
export const MEMCACHED_MS = 800;
/** What memcached takes at most where it is not told otherwise. */
export const MAX_MEMCACHED_VALUE_BYTES = 1024 * 1024;
/** How often the writer of an instance's list begins anew because somebody else has written it meanwhile. */
export const MAX_LIST_ATTEMPTS = 100;
/** How long a list goes on naming a token that has expired: clocks of several machines may differ by less. */
export const LIST_OUTLIVES_TOKENS_S = 60;

// Viewers.
export const MAX_REDEEM_BODY_BYTES = 1_024;
export const MAX_HTTP_HEADER_BYTES = 16_384;
/** From the request's first byte to its last. */
export const HTTP_REQUEST_MS = 10_000;
/** What a request over REST may take: an agent's answer, and the database before and after. */
export const GATEWAY_REQUEST_MS = MAX_REQUEST_MS + 1_500;
/** The largest that is answered here has three short texts; clients of Nova may send other actions, to be told that there are none. */
export const MAX_GATEWAY_BODY_BYTES = 16_384;
/** What a refusal repeats of a word that a client made up. */
export const MAX_QUOTED_LENGTH = 64;
export const HTTP_KEEP_ALIVE_MS = 5_000;
export const MAX_HTTP_CONNECTIONS = 12_000;
/** On one connection, the one that is answered among them; hardly any client sends a second one before its answer. */
export const MAX_PIPELINED_REQUESTS = 64;
/** Connections that the kernel keeps until they are accepted, where net.core.somaxconn allows; Node asks for 511. */
export const LISTEN_BACKLOG = 4_096;
/** SPICE's link message with its header; clients send about 50. */
export const MAX_SPICE_LINK_BYTES = 256;
/** WebSockets that are being let in at the same time; more are told to come again. */
export const MAX_UPGRADES_UNDER_WAY = 256;
/** How long browsers may use a file of the page without asking again, in seconds: its name says no version. */
export const ASSET_MAX_AGE_S = 300;
/** How often a viewer's token is looked at: the second time it finds the session that another one was quicker to begin. */
export const MAX_ENTRY_LOOKS = 2;
/** Files, with their folders, of the page in proxy.web, and all their bytes; Debian's has 37 in 2.3 MB. */
export const MAX_WEB_FILES = 1_000;
export const MAX_WEB_BYTES = 16 * 1024 * 1024;
/** One message of a viewer; spice-html5 sends no more than a file's chunk of 64 KiB. */
export const MAX_VIEWER_MESSAGE_BYTES = 1024 * 1024;
/** Pieces of one message, as frames or as reads: each costs more memory than its bytes. */
export const MAX_VIEWER_PIECES = 4_096;
/** How long a viewer may take for its link message. */
export const VIEWER_SPEAKS_MS = 10_000;
export const VIEWER_PING_MS = 10_000;
/** Without a sign of life for so long a viewer is gone; found at a ping, so at most one interval later. */
export const VIEWER_SILENT_MS = 20_000;
/** How long a closed WebSocket may take to say goodbye. */
export const CLOSE_HANDSHAKE_MS = 2_000;
/** Waiting in the socket towards a viewer before the display is held back. */
export const VIEWER_BUFFER_BYTES = 256 * 1024;
/** Waiting in the stream towards a display before its viewer is held back. */
export const DISPLAY_BUFFER_BYTES = 256 * 1024;

// Files that are read again when they change.
/** How often they are looked at; what has changed counts at the second look. */
export const FILES_INTERVAL_MS = 1_000;
export const FILES_READ_MS = 5_000;
export const MAX_WATCHED_FILE_BYTES = 1024 * 1024;
/** Settings, and the policy's table. */
export const MAX_YAML_LENGTH = 64 * 1024;
export const MAX_YAML_DEPTH = 16;

// TLS.
export const TLS_HANDSHAKE_MS = 5_000;
/** After the handshake: how long an agent waits for what a controller says to whoever it lets in. */
export const FIRST_WORD_MS = 1_000;
/** Under way at the same time, for each listener. */
export const MAX_TLS_HANDSHAKES = 1_000;
/** That one side believes at a time: the one in use, and the one before or after it. */
export const MAX_AUTHORITIES = 2;
/** Connections that were not let in are logged so often; strangers can make any number. */
export const TLS_FAILURE_LINES_PER_SECOND = 10;

// Hosts that join.
export const MIN_JOIN_TOKEN_TTL_S = 60;
export const DEFAULT_JOIN_TOKEN_TTL_S = 3_600;
export const MAX_JOIN_TOKEN_TTL_S = 7 * 86_400;
export const MAX_CERTIFICATE_DAYS = 90;
/** Clocks of hosts may be behind by so much. */
export const CERTIFICATE_BACKDATED_MS = 5 * 60_000;
/** A certificate, or a request for one. */
export const MAX_SIGNING_REQUEST_BYTES = 16 * 1024;
/** Revoked hosts are read so often while nothing was heard for certain for the longer time; both together are less than 2 s. */
export const REVOCATIONS_LOOK_MS = 500;
export const REVOCATIONS_UNHEARD_MS = 1_000;
/** How long a revoked host's agent waits before it asks again. */
export const REVOKED_WAIT_MS = 60_000;
/** From dialling to the answer, at one address. */
export const ENROLL_MS = 10_000;
export const ENROLL_BACKOFF = { firstMs: 500, mostMs: 30_000 };
export const RENEWAL_BACKOFF = { firstMs: 5_000, mostMs: 600_000 };
/** Certificates that somebody shows with his own. */
export const MAX_CHAIN_LENGTH = 10;
/** When the moment to renew has come is looked at so often: clocks are set, and machines sleep. */
export const RENEWAL_INTERVAL_MS = 60_000;

// Sessions.
/** How long the end of a display waits for the hypervisor's word on the machine. */
export const WHY_ENDED_MS = 3_000;
/** How often counts are written and the ends of sessions on other controllers looked for. */
export const SESSION_SYNC_MS = 1_000;
export const SESSION_KEPT_DAYS = 7;
/** A viewer without a channel for so long has left: it keeps nobody out, and takes no place on its controller. */
export const VIEWER_AWAY_S = 10;
/** What was typed is written by then, so that whoever typed in the last moment is not taken for idle. */
export const IDLE_SLACK_MS = 1_500;
/** A controller whose heartbeat is older may know of input that nobody else knows of. */
export const HEARTBEAT_SETTLES_MS = 7_000;
/** A page warns so many seconds before the end of an idle session, but never in the first half of its time. */
export const IDLE_WARNING_S = 60;
/** How long the answer to the statement that opens a channel may still be on its way. */
export const CHANNEL_SETTLES_MS = 10_000;
/** Refusals of viewers that wait to be written to the audit, and how many a second are; all are counted. */
export const MAX_PENDING_REFUSALS = 100;
export const REFUSALS_PER_SECOND = 10;
export const MAX_CHANNELS_SHOWN = 100;

// gRPC listeners.
/** Agents come with one connection each; programs share one among all their calls. */
export const MAX_GRPC_CONNECTIONS = 20_000;
export const MAX_CONNECTIONS_PER_ADDRESS = 500;
/** At a time on one connection; more wait at the client. Watches are among them. */
export const MAX_CALLS_PER_CONNECTION = 1_000;
/** Calls of one listener whose message has not come, and how long it may take. */
export const MAX_SILENT_CALLS = 2_000;
export const SILENT_CALL_MS = 10_000;

// Rates (how many, is in the settings).
/** Keys, such as addresses, that one limit remembers: some 5 MiB. */
export const MAX_LIMITED_KEYS = 50_000;
/** Addresses of which it is remembered how they are counted. */
export const MAX_REMEMBERED_ADDRESSES = 1_000;
/** Keys that are looked at before a new one is remembered: those that need not be are forgotten. */
export const LOOKS_FOR_ROOM = 8;
/** How often it is noted that one caller or address is at one limit; everything is counted. */
export const LIMIT_NOTE_INTERVAL_MS = 60_000;
/** How long the answer to bad credentials is held back, once an address has shown many. */
export const SLOW_ANSWER_MS = 1_000;
/** Answers that are held back at the same time, and those of one address among them; more get LIMITED at once. */
export const MAX_SLOW_ANSWERS = 1_000;
export const MAX_SLOW_ANSWERS_PER_ADDRESS = 16;
/** How many seconds of messages an agent may send at once. */
export const AGENT_BURST_S = 4;
/** A message of an agent counts as one more for each of these bytes. */
export const AGENT_MESSAGE_UNIT_BYTES = 4 * 1024;
// Keystone.
/** From asking who a token belongs to until the answer, with everything that it takes. */
export const KEYSTONE_MS = 3_000;
export const MAX_KEYSTONE_REQUESTS = 32;
export const MAX_WAITING_KEYSTONE_REQUESTS = 1_000;
/** Keystone's own tokens have some 200 characters, or 1,000 where they are signed. */
export const MAX_KEYSTONE_TOKEN_LENGTH = 4_096;
export const MAX_KEYSTONE_ANSWER_BYTES = 256 * 1024;
export const MAX_KEYSTONE_CALLERS = 10_000;
/** Tokens that Keystone did not know, apart from those above: whoever makes up tokens pushes nobody out. */
export const MAX_UNKNOWN_KEYSTONE_TOKENS = 10_000;
export const UNKNOWN_KEYSTONE_TOKEN_MS = 10_000;
/** How long no login follows one that was refused: Keystone may lock a user whose password is often wrong. */
export const KEYSTONE_LOGIN_PAUSE_MS = 5_000;

// Callers.
/** Good tokens of our own that are remembered, and how long one counts without being read again. */
export const MAX_KNOWN_USER_TOKENS = 10_000;
export const USER_TOKEN_KNOWN_MS = 30_000;
/** The same while a revocation elsewhere might not be heard. */
export const USER_TOKEN_UNHEARD_MS = 1_000;
/** Tokens that are no good, and how long they are so without being read again. */
export const MAX_REFUSED_USER_TOKENS = 10_000;
export const USER_TOKEN_REFUSED_MS = 5_000;
/** How long a token of our own can be good. */
export const MIN_USER_TOKEN_TTL_S = 60;
export const MAX_USER_TOKEN_TTL_S = 366 * 86_400;
export const DEFAULT_USER_TOKEN_TTL_S = 30 * 86_400;
/** How long a command waits for a controller's answer. */
export const CLI_CALL_MS = 10_000;

// Watches.
/** Calls that watch sessions, and as many that watch instances. */
export const MAX_WATCHERS = 256;
/** How long a watcher may take to read what it was sent. */
export const WATCHER_READS_MS = 30_000;
/** How often it is looked whether what a watcher has shown is still good. */
export const CALLER_RECHECK_MS = 1_000;
/** Steps that a watcher has not taken yet. */
export const MAX_WATCH_BACKLOG = 10_000;

// Postgres.
export const DB_STATEMENT_MS = 2_000;
export const DB_CONNECT_MS = 1_000;
// A migration is run by a person or a deployment, once: there is time for a busy machine.
export const MIGRATE_CONNECT_MS = 10_000;
export const DB_POOL_SIZE = 10;
export const DB_QUEUE = 200;
/** Connections for what viewers ask before they have proven anything, and how many may wait for one. */
export const VIEWER_DB_CONNECTIONS = 4;
export const MAX_WAITING_VIEWERS = 2_000;
// The client's own deadline for a statement: only a Postgres that is frozen or cut off is later than its time-out.
export const DB_SILENCE_MS = 2_500;
export const DB_RECONNECT_BACKOFF = { firstMs: 50, mostMs: 2_000 };
/** How often the connection that only hears is asked for a sign of life, which it then has DB_SILENCE_MS for. */
export const NOTIFICATIONS_PROBE_MS = 500;
export const DB_IDLE_IN_TRANSACTION_MS = 5_000;
export const MAX_BATCH = 64;
export const MAX_BATCHES_AT_ONCE = 2;
export const MAX_WAITING_FOR_BATCH = 2_000;
export const PURGE_BATCH = 1_000;
export const PURGE_BATCHES_PER_ROUND = 100;
export const PURGE_INTERVAL_MS = 10_000;
export const SNAPSHOT_BATCH = 500;
export const HEARTBEAT_INTERVAL_MS = 5_000;
export const HEARTBEATS_PER_SYNC = 12;
export const STREAM_SETTLES_MS = 10_000;
export const LOAD_BATCH = 5_000;
export const CONTROLLER_LEASE_MS = 20_000;
export const FORGET_CONTROLLER_MS = 60 * 60_000;
export const FORGET_GONE_CLAIM_MS = 60 * 60_000;
export const FORGET_REMOVED_MS = 60_000;

// Processes.
export const START_STEP_MS = 30_000;
export const STOP_STEP_MS = 7_000;
// How long a server that stops waits until its last words are taken; calls have ended before, only watches go on.
export const STOP_GRACE_MS = 1_000;
export const STOP_TOTAL_MS = 20_000;
export const TELEMETRY_REQUEST_MS = 5_000;
export const READINESS_INTERVAL_MS = 200;
