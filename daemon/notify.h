/* sd_notify(3): one datagram to the socket that systemd names in NOTIFY_SOCKET; nothing without it. */
#ifndef QN_DAEMON_NOTIFY_H
#define QN_DAEMON_NOTIFY_H

void qn_notify(const char *state);

#endif
