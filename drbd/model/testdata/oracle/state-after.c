static union drbd_state state(void)
{
	union drbd_state s = { .i = 0 };
	unsigned v[5];
	int i;

	for (i = 0; i < 5; i++)
		if (scanf("%u", v + i) != 1)
			exit(0);
	s.role = v[0];
	s.peer = v[1];
	s.conn = v[2];
	s.disk = v[3];
	s.pdsk = v[4];
	return s;
}

/* Answers a line: the state that would result, what is against it, and whether
 * the peer's data got lost on the way. */
int main(void)
{
	for (;;) {
		union drbd_state os = state(), ns = state();
		int fencing, two, suspend, rv;
		struct net_conf nc = { 0 };
		struct disk_conf dc;
		struct drbd_connection connection = { .net_conf = &nc, .agreed_pro_version = 101 };
		struct drbd_peer_device peer_device = { .connection = &connection };
		struct drbd_backing_dev ldev = { .disk_conf = &dc };
		struct drbd_resource resource;
		struct drbd_device device = { .resource = &resource, .ldev = &ldev, .peer_device = &peer_device };

		if (scanf("%d %d %d", &fencing, &two, &suspend) != 3)
			exit(0);
		dc.fencing = FP_DONT_CARE + fencing;
		nc.two_primaries = two;
		resource.res_opts.on_no_data = suspend ? OND_SUSPEND_IO : OND_IO_ERROR;
		device.state = os;
		ns = sanitize_state(&device, os, ns, NULL);
		rv = is_valid_state(&device, ns);
		if (rv >= SS_SUCCESS || rv == is_valid_state(&device, os))
			rv = is_valid_soft_transition(os, ns, &connection);
		printf("%d %d %d %d %d %d %d %d %d\n", ns.role, ns.peer, ns.conn, ns.disk, ns.pdsk, ns.susp_fen, ns.susp_nod, rv,
		       lost_contact_to_peer_data(os.pdsk, ns.pdsk));
		fflush(stdout);
	}
}
