/* Reads a case a line, answers a line; the order of the numbers is the
 * test's. */
static u64 next(void)
{
	u64 v;

	if (scanf("%" SCNx64, &v) != 1)
		exit(0);
	return v;
}

static void uuids(u64 *to)
{
	int i;

	for (i = UI_CURRENT; i <= UI_HISTORY_END; i++)
		to[i] = next();
}

int main(void)
{
	for (;;) {
		struct net_conf nc = { 0 };
		struct drbd_connection connection = { .net_conf = &nc, .agreed_pro_version = 101, .agreed_features = DRBD_FF_WSAME };
		struct drbd_backing_dev ldev = { 0 }, ldev2;
		u64 peer[UI_EXTENDED_SIZE] = { 0 }, peer2[UI_EXTENDED_SIZE];
		struct drbd_device device = { .ldev = &ldev, .p_uuid = peer };
		struct drbd_peer_device peer_device = { .device = &device, .connection = &connection };
		enum drbd_role peer_role;
		enum drbd_disk_state peer_disk;
		int hg, rule;
		enum drbd_conns end;

		device.peer_device = &peer_device;
		uuids(ldev.md.uuid);
		uuids(peer);
		device.state.role = next();
		peer_role = next();
		device.state.disk = next();
		peer_disk = next();
		device.comm_bm_set = next();
		peer[UI_SIZE] = next();
		device.flags = next() << CRASHED_PRIMARY;
		peer[UI_FLAGS] = next() << 1;
		device.flags |= next() << DISCARD_MY_DATA;
		peer[UI_FLAGS] |= next();
		device.open = next();
		connection.flags = next() << RESOLVE_CONFLICTS;
		nc.after_sb_0p = next();
		nc.after_sb_1p = next();
		nc.after_sb_2p = next();
		nc.rr_conflict = next();
		nc.always_asbp = next();
		nc.tentative = next();

		/* The comparison alone, on copies, and then all of it. */
		ldev2 = ldev;
		memcpy(peer2, peer, sizeof(peer));
		device.ldev = &ldev2;
		device.p_uuid = peer2;
		hg = drbd_uuid_compare(&device, peer_role, &rule);
		device.ldev = &ldev;
		device.p_uuid = peer;
		end = drbd_sync_handshake(&peer_device, peer_role, peer_disk);

		printf("%d %d %s %d %" PRIX64 ":%" PRIX64 ":%" PRIX64 ":%" PRIX64 " %" PRIX64 ":%" PRIX64 ":%" PRIX64 ":%" PRIX64 " %s\n", rule, hg,
		       end == C_MASK ? "DROP" : end == C_CONNECTED ? "CONNECTED" : end == C_WF_BITMAP_S ? "SOURCE" : "TARGET",
		       device.full, ldev.md.uuid[0], ldev.md.uuid[1], ldev.md.uuid[2], ldev.md.uuid[3],
		       peer[0], peer[1], peer[2], peer[3], device.calls[0] ? device.calls : "-");
		fflush(stdout);
	}
}
