/* What the driver's rules about states need around them; see before.c. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t u64;
typedef uint64_t __u64;

#define __LITTLE_ENDIAN_BITFIELD 1
#define rcu_read_lock() do { } while (0)
#define rcu_read_unlock() do { } while (0)
#define rcu_dereference(p) (p)
#define test_bit(n, word) ((int)(*(word) >> (n) & 1))
#define STATE_SENT 0

//CUT-ENUMS

struct net_conf { int two_primaries; char verify_alg[8]; };
struct disk_conf { enum drbd_fencing_p fencing; };
struct drbd_connection { struct net_conf *net_conf; unsigned long flags; int agreed_pro_version; };
struct drbd_peer_device { struct drbd_connection *connection; };
struct drbd_backing_dev { struct disk_conf *disk_conf; struct { u64 uuid[4]; } md; };
struct drbd_resource { struct { enum drbd_on_no_data on_no_data; } res_opts; };

struct drbd_device {
	struct drbd_resource *resource;
	struct drbd_backing_dev *ldev;
	struct drbd_peer_device *peer_device;
	union drbd_state state, new_state_tmp;
	u64 ed_uuid;
	int open_cnt;
};

static struct drbd_peer_device *first_peer_device(struct drbd_device *device)
{
	return device->peer_device;
}

static bool get_ldev_if_state(struct drbd_device *device, enum drbd_disk_state least)
{
	return device->state.disk >= least;
}

static bool get_ldev(struct drbd_device *device)
{
	return get_ldev_if_state(device, D_INCONSISTENT);
}

static void put_ldev(struct drbd_device *device)
{
}

/* There is no other volume. */
static enum drbd_role conn_highest_peer(struct drbd_connection *connection)
{
	return R_UNKNOWN;
}
