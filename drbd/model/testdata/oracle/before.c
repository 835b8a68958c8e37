/* What the driver's own functions need around them to run in a process of
 * their own. The test puts the enums, constants and functions, cut out of the
 * kernel's source, between this file and after.c. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t u64;
typedef uint64_t __u64;

#define __must_hold(x)
#define fallthrough __attribute__((__fallthrough__))
#define rcu_read_lock() do { } while (0)
#define rcu_read_unlock() do { } while (0)
#define rcu_dereference(p) (p)
#define spin_lock_irq(l) do { } while (0)
#define spin_unlock_irq(l) do { } while (0)
#define drbd_info(d, ...) do { } while (0)
#define drbd_warn(d, ...) do { } while (0)
#define drbd_err(d, ...) do { } while (0)
#define drbd_alert(d, ...) do { } while (0)
#define drbd_uuid_dump(...) do { } while (0)
#define drbd_md_mark_dirty(d) do { } while (0)
#define drbd_set_ed_uuid(d, v) do { } while (0)
#define drbd_bm_total_weight(d) 0UL
#define drbd_conn_str(c) ""
#define test_bit(n, word) ((int)(*(word) >> (n) & 1))
#define PRO_VERSION_MAX 101
#define DRBD_FF_WSAME 4

enum flag_bits { CRASHED_PRIMARY, DISCARD_MY_DATA, RESOLVE_CONFLICTS, CONN_DRY_RUN };

//CUT-ENUMS

struct net_conf {
	enum drbd_after_sb_p after_sb_0p, after_sb_1p, after_sb_2p;
	int rr_conflict, always_asbp, tentative;
};

struct drbd_connection {
	struct net_conf *net_conf;
	unsigned long flags;
	int agreed_pro_version;
	unsigned agreed_features;
};

struct drbd_peer_device {
	struct drbd_device *device;
	struct drbd_connection *connection;
};

struct drbd_backing_dev {
	struct { u64 uuid[UI_SIZE]; int uuid_lock; } md;
};

struct state { enum drbd_role role; enum drbd_disk_state disk; };

struct drbd_device {
	struct drbd_peer_device *peer_device;
	struct drbd_backing_dev *ldev;
	u64 *p_uuid;
	unsigned long flags, comm_bm_set;
	struct state state, new_state_tmp;
	int open, full;
	char calls[256];
};

static struct drbd_peer_device *first_peer_device(struct drbd_device *device)
{
	return device->peer_device;
}

static void note(struct drbd_device *device, const char *what)
{
	if (device->calls[0])
		strcat(device->calls, ",");
	strcat(device->calls, what);
}

static void drbd_khelper(struct drbd_device *device, const char *handler)
{
	note(device, handler);
}

/* The only change that these functions ask for is a demotion. While a
 * handshake runs, the driver refuses every change of roles. */
#define NS(what, value) value
#define CS_VERBOSE 0
static enum drbd_state_rv drbd_change_state(struct drbd_device *device, int flags, enum drbd_role role)
{
	return device->state.role == role ? SS_NOTHING_TO_DO : SS_IN_TRANSIENT_STATE;
}

#define BM_LOCKED_SET_ALLOWED 0
static int drbd_bmio_set_n_write;
static int drbd_bitmap_io(struct drbd_device *device, int *io, const char *why, int flags)
{
	device->full = 1;
	return 0;
}
