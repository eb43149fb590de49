// SPDX-License-Identifier: Apache-2.0

/** The page around the tables. */
export function page(machine: string, tables: string): string {
  return `# Benchmarks

Written by \`make bench\`; run it to have the figures of your own machine.

${machine}

## How to read this

Absolute figures belong to one machine at one moment. What counts are the ratios: everything is measured in short rounds
that take turns, five of each, and each ratio is the median over five neighbouring rounds. Every program is a process of
its own on this one machine (load generator, controller, agent, libvirtd, one QEMU per machine, Postgres), so they share
its processors. Postgres writes each commit before it answers but does not wait for the disk (\`fsync=off\`), as in the demo.

- **GetSpiceConsole**: controller and agent as shipped, at their default log level, over 16 running machines; "one
  machine" asks for the same one all the time.
- **bare path**: the same way with nothing of ours on it: a unary call, a question over a stream to an agent, libvirt's
  lookup and XML in a worker thread, one prepared insert into the same table, the reply. No checks, deadlines, audit, log
  or metrics. Its about 150 lines are in \`test/bench/bare\`.
- **bare echo**: a gRPC server that replies at once. **bare libvirt**: lookup and XML alone. **bare insert**: the insert alone.
- **refused: host is down**: calls from the moment on at which the host's agent was killed with SIGKILL.
- **tunnel**: from a fake display through agent and controller to a WebSocket; **direct**: the same without the agent, as
  \`displays.data_path: direct\` has it; **two relays**: two bare TCP relays in a row, without WebSocket; **websockify**:
  Debian's, one process between WebSocket and display. All load generators share the same processors.
- **many hosts**: simulated ones, thousands in each of four processes that share the processors: the agent's own code over
  hypervisors in memory, each with a connection of its own. Beside them the same controller with ten hosts, in rounds that
  take turns. "kill -9" counts from the controller's death, after which it is started again at once; readiness waits for
  hosts for 15 s at most. Memory for a host is the resident set's growth, its domains included, when it has settled.
- Memory is the resident set; for Postgres that of all its processes, what they share counted once.

For scale: OpenStack Nova (Zed, with MariaDB, RabbitMQ and the same libvirt) on a machine of this size answers the same
question with a p50 of 41 ms, about 50 times a second at 32 callers, for 34 to 49 ms of CPU time each, in 1.0 to 2.9 GiB
of memory; with the host down the caller waits for 60 s. Its proxy needs 156 ms to the first byte, takes 12 connects a second, moves 790 to 1,130 MB/s down and 110 to
120 up, and holds 30 MiB for each idle session; a browser shows the first pixels after 1.2 s.

${tables}
`;
}
