/*
 * Who may run the group: the arbitration protocol of a two-node pair with one witness, for spin.
 *
 * Every option of every loop is one indivisible step; whatever may happen late, twice or never is a step of its own.
 * README.md says what is modelled, with which bounds, and what is left out. check.sh runs the instances.
 *
 *   here                   in the code (internal/archtest looks whether it is there)
 *   ----                   -----------
 *   top                    arbiter.Cluster.Epoch
 *   holder epoch           arbiter.Lease.Holder arbiter.Lease.Epoch
 *   same                   arbiter.Lease.Boot  -- it is that of the holder's present boot
 *   rests                  arbiter.Lease.Basis
 *   unshot                 arbiter.Lease.Unshot
 *   how                    arbiter.Group.Ended
 *   barred                 arbiter.Group.Excluded  -- 0: it has no entry
 *   order                  arbiter.Group.Order arbiter.Switch.To
 *   phase target by aim    arbiter.Mandate.Phase arbiter.Mandate.Target arbiter.Mandate.Executor arbiter.Mandate.Group
 *   learning told          arbiter.Cluster.Learning arbiter.Node.Reported
 *   ranAs ranNow           arbiter.GroupReport.Epoch arbiter.GroupReport.Runs
 *   prop judged            leader.proposal.command leader.desk.busy  -- what is on its way
 *   wit                    leader.Leader
 *   due limit hfuse        leader.desk.deadlines leader.desk.mandate
 *   on newboot             agent.Machine arbiter.Node.Boot
 *   mind                   agent.Machine.gapAt  -- what wakes notices the gap
 *   clear met              agent.Machine.cleared agent.Machine.spoken
 *   ex fuse                agent.shot.step agent.shot.before
 *   hot mine               agent.group.hot agent.right.epoch
 *   lease word             agent.right.lease agent.right.promise  -- in ticks left
 *   bound                  agent.Machine.boundUntil  -- in ticks left
 *   frozen lone            agent.Storage.Frozen agent.exclusion.held
 *   seen whose back        agent.GroupMemory.Epoch agent.GroupMemory.Holder agent.GroupMemory.GivenBack
 *   asks                   agent.Memory.Asking
 *   gave got owes          agent.GroupMemory.OwnWord agent.GroupMemory.Obtained agent.GroupMemory.Pending
 *   req patience           arbiter.Acquire agent.call.sentAt  -- what is left of the ttl counted from there
 *   grant basis            arbiter.Verdict arbiter.Basis
 *   rel                    arbiter.Release
 *   exq exa                arbiter.Exclude arbiter.ExclusionNumber
 *   rdq rdw rda            arbiter.Readmit.Number arbiter.Readmit.OwnWord
 *   number words           arbiter.Cluster.Exclusions agent.Memory.Words
 *   rnw                    leader.Beat
 *
 *   step                   in the code
 *   ----                   -----------
 *   give                   arbiter.Cluster.grant
 *   ends endsAll           arbiter.Ending
 *   exclude                arbiter.Exclude
 *   receipt                arbiter.Release
 *   introduced             arbiter.NodeUp
 *   report learnt          arbiter.Report
 *   proven                 arbiter.ReportFence
 *   over                   arbiter.EndMandate
 *   void                   arbiter.Cluster.voidOpen
 *   begin                  agent.Machine.start
 *   lapse                  agent.Stop agent.Reset
 *   hit                    agent.Shoot
 *   alone                  agent.exclusion.held
 *
 *   weakening              its like in the code, for go test -tags mutants
 *   ---------              -----------
 *   M_REPLY                mutant.LeaseFromReply
 *   M_GRANTFRESH           mutant.VerdictFromResend
 *   M_NEWLEADER            mutant.NewLeaderGrantsAtOnce
 *   M_INFLIGHT             mutant.RenewalBesideEnding
 *   M_BARRIER              mutant.BeforeTheBarrier
 *   M_EARLYE2              mutant.E2BeforeExpiry
 *   M_UNARMED              mutant.E2Unarmed
 *   M_MARGIN               mutant.PromiseFlat
 *   M_FORGET               mutant.PromiseForgotten
 *   M_BASIS                mutant.BasisIgnored
 *   M_PROMISING            mutant.E2WhilePromising
 *   M_LAUNDER              mutant.EndingNotSticky
 *   M_OLDPROOF             mutant.RebootOvercomes
 *   M_REINSTBARE           mutant.ReinstatedUnarmed
 *   M_BOOTRUNS             mutant.BootEndsAll
 *   M_NOPROMISE            mutant.NothingPromised
 *   M_RECEIPT              mutant.OrderFrees
 *   M_ASKPROMISE           mutant.PromiseWhileAsking
 *   M_ASKGROUP             mutant.PromiseWhileAsking
 *   M_ASKLOST              mutant.AskForgotten
 *   M_RENEWBEGUN           mutant.RenewedAfterBegin
 *   M_TWOSTEP              mutant.TwoSteps
 *   M_ONEMANDATE           mutant.MandateNotExclusive
 *   M_LEARNSHOT            mutant.MandatesForgotten
 *   M_NOSTATUS             mutant.OffWithoutStatus
 *   M_OVERTAKEN            mutant.StaleLifeHeard
 *   M_EXBEGUN              mutant.ExcludeAfterBegin
 *   M_EXIT4                mutant.EarlyExit4
 *   M_EXPIRE               mutant.ExclusionExpires
 *   M_LASTCOPY             mutant.ExcludeLastCopy
 *   M_DISKWORD             mutant.OwnDiskIgnored
 *   M_DISKEXCL             mutant.PeerDiskIgnored
 *   M_NUMBER               mutant.ReadmitByEpoch
 *   M_FLOOR                mutant.FloorIgnored
 *   M_OLDANSWER            mutant.OldIncarnationHeard
 *
 * Instances (what the pair has, what may happen to it)
 *   FENCE a fence device     HOST the witness host shoots too   CLOCK watchdogs (E2)       PROMISE heartbeats, promises, words
 *   REINST a booted holder may go by its peer's word            OPERATOR a true word that a node is off
 *   LOSS the witness loses its memory                           SWITCH planned switchovers
 *   LOG a command that ends a lease takes time to be applied
 *   DISK disks fail while connected                             TRAVEL exclusions, readmissions and their answers take time
 *   GROUPS=2 a second group, on B (ONENODE: A)                  VMPAUSE a machine may stand still, its watchdog too
 *   STEADY nodes stay up and hear each other (for L2)           CALM what can be done is done before time goes on (for L1)
 * Bounds: F faults, MAXE highest epoch, T ticks of a lease and a promise, FT ticks of a shot.
 */
#ifndef GROUPS
#define GROUPS 1
#endif
#define G GROUPS
#ifndef F
#define F 3
#endif
#ifndef MAXE
#define MAXE 4
#endif
#ifndef T
#define T 2
#endif
#ifndef FT
#define FT 1
#endif

#define NOBODY   2
#define PEER(n)  (1-(n))
#define AT(n,g)  ((n)*G+(g))
#define me       AT(n,g)
#define it       AT(PEER(n),g)

/* how a lease ended, and what a grant rests on */
#define NOTHING  0
#define WEAK     1     /* the clock, a report to a new incarnation, an operator; and every proof that is older than a promise */
#define PROOF    2     /* stop receipt, new boot id, seen off, since the last promise: the promiser knows by epoch, boot id and mandate */
/* phases of a mandate */
#define NONE     0
#define OPEN     1
#define BEGUN    2
#define SETTLED  3     /* its target is proven dead, but the shot may still land */
#define HOSTX    2     /* executor: the witness host */
/* steps of an executor */
#define IDLE     0
#define READ     1     /* the power has been read */
#define SHOT     2     /* permitted: lands or fails before the fuse has burnt down */
#define OFF      3     /* seen off */
#define FAIL     4
/* minds */
#define AWAKE    0
#define HUNG     1     /* the agent stands still, services go on, the watchdog counts */
#define BARE     2     /* the same, and no watchdog was armed: decided only now, as it matters only now */
#define FROZENVM 3     /* all of the machine stands still */

/* the witness: what it stores */
byte top = 1;
byte holder[G]; byte epoch[G]; bool same[G]; byte rests[G];
byte how[2*G]; byte barred[2*G]; bool unshot[G];
byte phase; byte target; byte by; byte aim;
bool learning; bool told[2]; byte ranAs[2*G]; bool ranNow[2*G];
#ifdef SWITCH
byte order[G];
#endif
#ifdef LOG
byte prop; byte judged;         /* proposed: the clock's grant to node prop-1, about this epoch */
#endif
/* the witness: what its leader knows */
bool wit = 1; byte due[G]; byte limit; byte hfuse;

/* nodes */
bool on[2]; byte mind[2]; bool clear[2]; bool met[2]; bool newboot[2];
byte ex[2]; byte fuse[2];
bool hot[2*G]; byte mine[2*G]; byte lease[2*G]; byte word[2*G]; byte bound[2*G];
bool frozen[2*G]; bool lone[2*G];
byte seen[2*G]; byte whose[2*G]; bool back[2*G]; bool asks[2*G]; byte gave[2*G]; bool got[2*G]; bool owes[2*G];
/* the network: what is never taken is lost */
bool req[2*G]; byte grant[2*G]; byte basis[2*G]; byte patience[2*G]; byte rel[2*G];
#ifdef TRAVEL
bool exq[2*G]; byte exa[2*G]; byte rdq[2*G]; byte rdw[2*G]; byte rda[2*G]; byte number; byte words;
#endif
#ifdef M_REPLY
bool rnw[2*G];
#endif
#ifdef M_EXIT4
bool exq[2*G];
#endif
/* DRBD */
bool conn[G]; bool bad[2*G];

/* ghosts: nobody in the protocol looks at them */
bool stale[2*G];       /* the copy lacks an acknowledged write */
bool gap[2*G];         /* its disk failed and no durable record says so yet */
bool kept[2];          /* a right of the node was extended after a shot at it had begun */
bool shot[2];          /* off by a shot */
bool armed[2];         /* E2 was granted on the word that its watchdog is armed, so it is */
byte faults; byte ranEpoch[G]; byte ranNode[G];

#define can(n)     (on[n] && mind[n]==AWAKE)
#define talks(n)   (can(n) && met[n] && wit && !learning && QUIET)
#define right(i)   (lease[i]>0 || word[i]>0)
#define shotAt(n)  (phase>=BEGUN && (target==(n) || target==NOBODY))
#define holds(n,g) (holder[g]==(n) && same[g] && epoch[g]==mine[AT(n,g)])
#define FAULT      (faults<F)
#define C(n)       (65+(n))

#include "switches.pml"

/* ---- small steps ---- */

inline over() { phase=NONE; by=NOBODY; target=0; aim=0; limit=0; kept[0]=0; kept[1]=0 }

inline extended(n) { if :: shotAt(n) -> kept[n]=1 :: else fi }

inline cut(g) {
  conn[g]=0;
  if :: hot[AT(0,g)] && !lone[AT(0,g)] -> frozen[AT(0,g)]=1 :: else fi;
  if :: hot[AT(1,g)] && !lone[AT(1,g)] -> frozen[AT(1,g)]=1 :: else fi;
}

/* services are down, the resource is secondary */
inline down(i) { hot[i]=0; armed[(i)/G]=0; mine[i]=0; lease[i]=0; word[i]=0; frozen[i]=0; lone[i]=0;
#if defined(TRAVEL) || defined(M_EXIT4)
  exq[i]=0;
#endif
#ifdef TRAVEL
  exa[i]=0;
#endif
#ifdef M_REPLY
  rnw[i]=0;
#endif
}

/* what a life of an agent knew only in memory, and what was on its way to it */
inline forget(i) { grant[i]=0; basis[i]=0; patience[i]=0;
#ifdef TRAVEL
  exa[i]=0; rda[i]=0;
#endif
}

inline same_lost(n) {
  if :: holder[0]==n -> same[0]=0 :: else fi;
#if G==2
  if :: holder[1]==n -> same[1]=0 :: else fi;
#endif
}
inline poweroff(n) {
  down(AT(n,0)); forget(AT(n,0)); bound[AT(n,0)]=0;
#if G==2
  down(AT(n,1)); forget(AT(n,1)); bound[AT(n,1)]=0;
#endif
  on[n]=0; mind[n]=AWAKE; met[n]=0; clear[n]=0; newboot[n]=1; same_lost(n);
  ORPHAN(n);
  if :: conn[0] -> cut(0) :: else fi;
#if G==2
  if :: conn[1] -> cut(1) :: else fi;
#endif
}

/* writes are acknowledged without the peer, at once: the worst case */
inline alone(n,g) {
  assert(!bad[AT(n,g)] && (!stale[AT(n,g)] || gap[AT(n,g)]));            /* S2 */
  frozen[AT(n,g)]=0; lone[AT(n,g)]=1; stale[AT(PEER(n),g)]=1 }

/* node n begins to run group g under epoch e; the guarantees are looked at here */
inline begin(n,g,e) {
  assert(!(hot[AT(PEER(n),g)] && mind[PEER(n)]!=FROZENVM));          /* S1 */
  assert(!stale[AT(n,g)] || gap[AT(n,g)]);                           /* S2 */
  assert(gave[AT(n,g)]==0);                                          /* S3 */
  assert(barred[AT(n,g)]==0 || learning);                            /* S3 */
  assert(!bad[AT(n,g)]);                                             /* S3 */
  assert(e>=ranEpoch[g]);                                            /* S4 */
  assert(e!=ranEpoch[g] || ranNode[g]==n);                           /* S4 */
  ranEpoch[g]=e; ranNode[g]=n;
  hot[AT(n,g)]=1; mine[AT(n,g)]=e; lone[AT(n,g)]=0; frozen[AT(n,g)]=0;
  if :: conn[g] -> if :: bad[AT(PEER(n),g)] -> stale[AT(PEER(n),g)]=1; gap[AT(PEER(n),g)]=1 :: else fi
     :: else -> PROMOTE(n,g)
  fi
}

/* ---- what the witness applies ---- */

/* n's lease of g ends, or what is known of its end improves */
inline ends(n,g,cause) {
  if :: holder[g]==n ->
        holder[g]=NOBODY; same[g]=0; due[g]=0; HOW(AT(n,g),g,cause); rests[g]=NOTHING; UNSHOT(g,0);
        NOORDER(g)
     :: holder[g]!=n && how[AT(n,g)]!=NOTHING && how[AT(n,g)]<cause ->
        how[AT(n,g)]=cause
     :: else
  fi
}
inline endsAll(n,cause) { ends(n,0,cause);
#if G==2
  ends(n,1,cause);
#endif
}

/* the exclusion of n's peer from group g is recorded */
inline exclude(n,g) { NUMBERED(barred[AT(PEER(n),g)]); gap[AT(PEER(n),g)]=0; DISORDERED(g,PEER(n)) }

/* an answer to an earlier life of the agent finds nobody */
inline answer(n,g) { if :: met[n] -> grant[AT(n,g)]=epoch[g]; basis[AT(n,g)]=rests[g] :: else fi }

/* nobody holds g: n gets it under a new epoch */
inline give(n,g) {
  top++; epoch[g]=top; holder[g]=n; same[g]=met[n]; due[g]=T+1;
  RESTS(n,g);
  LAUNDER(n,g);
  NOORDER(g);
  GRANTEXCL(n,g);
  if :: phase==OPEN && aim==g -> over() :: else fi;
  answer(n,g)
}

inline void(n) { if :: phase==OPEN && target==n -> over(); if :: ex[PEER(n)]==READ -> READVOID(PEER(n)) :: else fi :: else fi }

inline refused(i) { asks[i]=0; patience[i]=0 }


/* a stop receipt, or a grant given back unused */
inline receipt(n,g,e) {
  printf("W takes %c's receipt for epoch %d\n", C(n), e);
  if :: holder[g]==n && epoch[g]==e ->
          void(n); if :: phase==BEGUN && target==n && aim==g -> phase=SETTLED :: else fi; KEEPORDER(g); ends(n,g,PROOF); TAKEORDER(g)
     :: holder[g]!=n && epoch[g]>=e && how[AT(n,g)]!=NOTHING && how[AT(n,g)]<PROOF -> how[AT(n,g)]=PROOF
     :: else
  fi
}

#define MAYEXCLUDE(n,g) (holds(n,g) && due[g]>0 && EXBEGUN(n) && LASTCOPY(n,g))

/* ---- the agents ---- */

proctype agent(byte n; byte g) {
  do
  /* a renewal: in one step, because it is dated from its sending (a late answer is worth no more than an early one) */
  :: d_step { talks(n) && hot[me] && holds(n,g) && RENEWBEGUN(n) && RENEWTURN ->
       printf("%c renews epoch %d\n", C(n), mine[me]); extended(n); void(n); due[g]=T+1;
#ifdef M_REPLY
       rnw[me]=1 }
  :: d_step { can(n) && rnw[me] -> printf("%c takes the renewal as fresh\n", C(n)); rnw[me]=0; lease[me]=T
#else
       lease[me]=T
#endif
     }
  /* back in contact, somebody who went on by the peer's promise while its lease had ended is reinstated if nobody was granted the group */
  :: d_step { talks(n) && hot[me] && holder[g]==NOBODY && epoch[g]==mine[me] && phase==NONE && word[me]>0 ->
       printf("%c runs under epoch %d and is reinstated\n", C(n), mine[me]); holder[g]=n; same[g]=1; how[me]=NOTHING; due[g]=T+1; lease[me]=T }
  /* services have started: the grants before this one matter to no promise any more */
  :: d_step { talks(n) && hot[me] && !frozen[me] && holds(n,g) && !shotAt(n) && (how[me]!=NOTHING || how[it]!=NOTHING) ->
       printf("%c tells that services run\n", C(n)); how[me]=NOTHING; how[it]=NOTHING }

  /* give back: services down first, then the receipt */
  :: d_step { GIVEBACK && can(n) && hot[me] && !frozen[me] && met[n] && FAULT ->
       printf("%c stops epoch %d and sends the receipt\n", C(n), mine[me]); faults++; SEND(n,g,mine[me]); BACK(me,1); down(me) }
#ifdef SWITCH
  :: d_step { talks(n) && hot[me] && !frozen[me] && holds(n,g) && order[g]==PEER(n) ->
       printf("%c is told to hand over: stops, sends the receipt\n", C(n)); SEND(n,g,mine[me]); BACK(me,1); down(me) }
#endif

  /* ask: stored before it is sent */
  :: d_step { can(n) && met[n] && clear[n] && !hot[me] && !asks[me] && !GIVINGBACK(me) && gave[me]==0 && !bad[me] && ASKWORTH(n,g) ->
       printf("%c asks\n", C(n)); forget(me); asks[me]=1; req[me]=1; patience[me]=T; OVERTAKE(me) }
  :: d_step { can(n) && met[n] && asks[me] && req[me] && patience[me]==0 && grant[me]==0 -> printf("%c asks anew\n", C(n)); patience[me]=T }

  /* a grant arrives */
  :: d_step { can(n) && grant[me]>0 ->
       if :: hot[me] || grant[me]<seen[me] -> printf("%c drops an old grant\n", C(n))
          :: !hot[me] && grant[me]>=seen[me] && (LATE(me) || !ACCEPTS(n,g)) ->
               printf("%c gives epoch %d back unused\n", C(n), grant[me]);
               NOTE(me,grant[me],n); BACK(me,1); SEND(n,g,grant[me])
          :: else ->
               printf("%c accepts epoch %d\n", C(n), grant[me]);
               NOTE(me,grant[me],n); BACK(me,0); lease[me]=FRESH(me); word[me]=0; begin(n,g,grant[me])
       fi; asks[me]=0; forget(me) }

  /* fence-peer: frozen until the peer's exclusion is durable */
#if defined(TRAVEL)
  :: d_step { can(n) && met[n] && frozen[me] && !exq[me] && exa[me]==0 -> printf("%c asks to exclude %c\n", C(n), C(PEER(n))); exq[me]=1 }
  :: d_step { can(n) && exa[me]>0 ->
       if :: frozen[me] -> printf("%c: exit 4, writes go on\n", C(n)); GOT(me); alone(n,g)
          :: else -> printf("%c: answer to an exclusion nobody waits for\n", C(n)); GOT(me) fi;
       exa[me]=0 }
#elif defined(M_EXIT4)
  :: d_step { can(n) && frozen[me] -> printf("%c: exit 4 before it is durable\n", C(n)); exq[me]=1; alone(n,g) }
  :: d_step { talks(n) && exq[me] -> exq[me]=0; if :: MAYEXCLUDE(n,g) -> exclude(n,g); GOT(me) :: else -> poweroff(n) fi }
#else
  :: d_step { talks(n) && frozen[me] && !(holds(n,g) && due[g]==0) ->     /* "renew first" is no refusal */
       if :: MAYEXCLUDE(n,g) -> printf("%c excludes %c, writes go on\n", C(n), C(PEER(n)));
             exclude(n,g); extended(n); void(n); due[g]=T+1; GOT(me); alone(n,g)
          :: else -> printf("%c may not exclude %c: exit 6 or 1 and reset\n", C(n), C(PEER(n))); poweroff(n)
       fi }
#endif
#ifdef PROMISE
  /* a beat and its answer: the peer accepts no grant on the clock's word for a while */
  :: d_step { can(n) && hot[me] && right(me) && MAYPROMISE(PEER(n),g) && seen[it]<=mine[me] && (word[me]<T || bound[it]<PT) ->
       printf("%c promises epoch %d to %c\n", C(PEER(n)), mine[me], C(n));
       if :: seen[it]<mine[me] -> BACK(it,0) :: else fi;
       NOTE(it,mine[me],n); bound[it]=PT; word[me]=T; PROMISED(n,g); extended(n) }
  /* no witness answers: the peer outdates itself, records it, says so; the answer may be lost */
  :: d_step { can(n) && frozen[me] && right(me) && MAYSPEAK(PEER(n),g) && seen[it]<=mine[me] && !got[it] && gave[me]==0 && !bad[me] ->
       printf("%c gives its copy up, %c goes on\n", C(PEER(n)), C(n)); WORDED(gave[it]); gap[it]=0; NOTE(it,mine[me],n); GOT(me); owes[me]=1; alone(n,g) }
  :: d_step { can(n) && frozen[me] && right(me) && MAYSPEAK(PEER(n),g) && seen[it]<=mine[me] && !got[it] && gave[me]==0 && !bad[me] && gave[it]==0 ->
       printf("%c gives its copy up, unheard\n", C(PEER(n))); WORDED(gave[it]); gap[it]=0; NOTE(it,mine[me],n) }
  /* the witness is told of it as soon as one answers */
  :: d_step { talks(n) && hot[me] && lone[me] && owes[me] && MAYEXCLUDE(n,g) ->
       printf("%c tells that %c has given its copy up\n", C(n), C(PEER(n))); exclude(n,g); extended(n); void(n); due[g]=T+1; owes[me]=0 }
#endif
#ifdef REINST
  /* quarantine: no witness answers, the peer promises the epoch that this node held last */
  :: d_step { can(n) && !clear[n] && !hot[me] && whose[me]==n && seen[me]>0 && !back[me] && gave[me]==0 && !bad[me] && !got[it] &&
       MAYPROMISE(PEER(n),g) && whose[it]==n && seen[it]==seen[me] ->
       printf("%c has booted and goes on under epoch %d by %c's word\n", C(n), seen[me], C(PEER(n)));
       clear[n]=1; bound[it]=PT; word[me]=T; lease[me]=0; REINSTARMED(n); PROMISED(n,g); extended(n); begin(n,g,seen[me]) }
#endif
#ifdef M_QUARANTINE
  :: d_step { can(n) && !clear[n] && !hot[me] && whose[me]==n && !back[me] && gave[me]==0 ->
       printf("%c has booted and goes on by itself\n", C(n)); clear[n]=1; lease[me]=T; begin(n,g,seen[me]) }
#endif

  /* readmission, by the numbers that both know while they are in step */
#ifdef TRAVEL
  :: d_step { can(n) && can(PEER(n)) && met[n] && conn[g] && !frozen[me] && !exq[me] && exa[me]==0 && (barred[it]>0 || gave[it]>0) && rdq[me]==0 && rdw[me]==0 ->
       printf("%c reports %c in step (exclusion %d, word %d)\n", C(n), C(PEER(n)), barred[it], gave[it]); rdq[me]=barred[it]; rdw[me]=gave[it] }
  :: d_step { can(n) && rda[me]>0 -> if :: gave[me]==rda[me] || M_WORDON -> printf("%c: word %d is cleared\n", C(n), gave[me]); gave[me]=0 :: else fi; rda[me]=0 }
#else
  :: d_step { n==0 && can(0) && can(1) && talks(0) && met[1] && conn[g] && !bad[me] && !bad[it] && (barred[me]>0 || barred[it]>0 || gave[me]>0 || gave[it]>0 || got[me] || got[it]) ->
       printf("both are in step and readmitted\n");
       barred[me]=0; barred[it]=0; gave[me]=0; gave[it]=0; got[me]=0; got[it]=0; owes[me]=0; owes[it]=0 }
#endif
#ifdef DISK
  /* the side that lost its disk records its own exclusion */
  :: d_step { can(n) && bad[me] && gave[me]==0 -> printf("%c records that its copy is stale\n", C(n)); DISKWORD(me); gap[me]=0 }
  /* the holder excludes a peer whose disk is gone: no handler asks for it */
  :: d_step { talks(n) && hot[me] && !frozen[me] && !lone[me] && bad[it] && barred[it]==0 && MAYEXCLUDE(n,g) ->
       printf("%c sees %c's disk gone and excludes it\n", C(n), C(PEER(n))); DISKEXCL(n,g); gap[it]=0; extended(n); void(n); due[g]=T+1; GOT(me) }
  /* attached again and resynchronised */
  :: d_step { conn[g] && can(n) && can(PEER(n)) && bad[me] && !hot[me] && !bad[it] -> printf("%c has a disk again, in step\n", C(n)); bad[me]=0; stale[me]=0; gap[me]=0 }
#endif
  od
}

proctype desk(byte n; byte g) {
  do
  /* a request is answered: the first rule that fits. Who asks has no own word and a disk, then: what changes later it says when it is granted */
  :: d_step { wit && !learning && QUIET && req[me] -> req[me]=0;
       if
       :: holder[g]==n && same[g] ->                                                                                      /* rule 2 */
            if :: shotAt(n) || barred[me]>0 -> printf("W refuses %c, the holder\n", C(n)); refused(me)
               :: else -> printf("W: %c holds epoch %d\n", C(n), epoch[g]); extended(n); void(n); due[g]=T+1; answer(n,g)
            fi
       :: !(holder[g]==n && same[g]) && barred[me]>0 -> printf("W refuses %c, which is excluded\n", C(n)); refused(me)          /* rule 3 */
       :: holder[g]==n && !same[g] -> refused(me)
       :: else ->
            if
            :: phase==OPEN && by==n && aim==g && target==PEER(n) && ex[n]==IDLE && met[n] -> printf("W: %c may shoot %c, still\n", C(n), C(PEER(n))); ex[n]=READ; patience[me]=0
            :: ONEMANDATE(n,g) && !(phase==OPEN && by==n && aim==g && target==PEER(n) && ex[n]==IDLE && met[n]) -> RETRYLATER(n,g)                                                                             /* rule 5 */
            :: !ONEMANDATE(n,g) && top<TOPMOST(n) && holder[g]==NOBODY && ORDERED(n,g) -> printf("W grants epoch %d to %c\n", top+1, C(n)); give(n,g)    /* rule 6 */
            :: !ONEMANDATE(n,g) && top<TOPMOST(n) && holder[g]==PEER(n) && OUTLIVED(n,g) ->                                              /* rule 7: the clock */
                 printf("W: lease %d has run out; grants epoch %d to %c\n", epoch[g], top+1, C(n)); ENDPEER(n,g)
            :: !ONEMANDATE(n,g) && top<TOPMOST(n) && holder[g]==PEER(n) && !OUTLIVED(n,g) && SHOOTS && met[n] && ex[n]==IDLE ->               /* rule 7: a shot */
                 printf("W: %c may shoot %c\n", C(n), C(PEER(n))); phase=OPEN; target=PEER(n); by=n; aim=g; ex[n]=READ; kept[PEER(n)]=0; patience[me]=0
            :: else -> refused(me)
            fi
       fi }
#ifdef LOG
  /* the command is applied, by this leadership or after it has ended */
  :: d_step { prop==1+n -> prop=0;
       if :: holder[g]==PEER(n) && epoch[g]==judged -> printf("W: applied: epoch %d is %c's\n", top+1, C(n)); ends(PEER(n),g,WEAK); armed[PEER(n)]=hot[it]; give(n,g); if :: !wit -> forget(me); due[g]=0 :: else fi
          :: else -> refused(me) fi; judged=0; OLDLEAD }
  :: d_step { prop==1+n && !wit -> printf("the command is lost\n"); prop=0; judged=0; OLDLEAD; patience[me]=0; asks[me]=0 }
#endif
#ifdef TRAVEL
  :: d_step { wit && !learning && rel[me]>0 -> receipt(n,g,rel[me]); rel[me]=0 }
#endif
#ifdef TRAVEL
  :: d_step { wit && !learning && exq[me] && met[n] && !(holds(n,g) && due[g]==0) -> exq[me]=0;
       if :: MAYEXCLUDE(n,g) -> exclude(n,g); printf("W excludes %c (%d)\n", C(PEER(n)), barred[it]); extended(n); void(n); due[g]=T+1; exa[me]=barred[it]
          :: else -> printf("W refuses %c's exclusion: reset\n", C(n)); if :: frozen[me] -> poweroff(n) :: else fi
       fi }
  :: d_step { wit && !learning && (rdq[me]>0 || rdw[me]>0) ->
       if :: NUMBERS(barred[it]==rdq[me]) && (gave[it]==rdw[me] || NUMBERS(0)) -> printf("W readmits %c (%d, %d)\n", C(PEER(n)), rdq[me], rdw[me]); barred[it]=0; got[me]=0; owes[me]=0;
               if :: met[PEER(n)] && rdw[me]>0 -> rda[it]=rdw[me] :: else fi
          :: else -> printf("W: %c names an old exclusion\n", C(n)) fi;
       rdq[me]=0; rdw[me]=0 }
#endif
#ifdef OPERATOR
  :: d_step { wit && !learning && holder[g]==n && !on[n] -> printf("an operator says truly that %c is off\n", C(n)); ends(n,g,WEAK); void(n) }
#endif
#ifdef SWITCH
  :: d_step { FAULT && wit && !learning && holder[g]==n && order[g]==NOBODY && phase==NONE && conn[g] && barred[it]==0 && gave[it]==0 && met[PEER(n)] ->
       printf("an operator moves the group to %c\n", C(PEER(n))); faults++; order[g]=PEER(n); RECEIPTFIRST(n,g) }
  :: d_step { wit && order[g]==n -> printf("the order is withdrawn\n"); order[g]=NOBODY }
#endif
  od
}

/* ---- what concerns a machine as a whole ---- */

inline introduced(n,g) {      /* a new boot id proves the life before dead, except where the new one runs the group by the peer's word */
  if :: newboot[n] && holder[g]==n && !same[g] && (hot[AT(n,g)] && mine[AT(n,g)]==epoch[g]) && BOOTRUNS(n) -> same[g]=1
     :: newboot[n] && !(holder[g]==n && !same[g] && hot[AT(n,g)] && mine[AT(n,g)]==epoch[g] && BOOTRUNS(n)) && !(hot[AT(n,g)] && BOOTRUNS(n)) -> ends(n,g,PROOF)
     :: else
  fi
}
inline stalelife(i,n,g) { req[i]=0; rel[i]=0; ANSWERED(i,n,g);
#ifdef TRAVEL
  exq[i]=0; rdq[i]=0; rdw[i]=0;
#endif
}
inline report(n,g) {
  FLOOR(n,g);
  ranNow[AT(n,g)]=hot[AT(n,g)]; ranAs[AT(n,g)]=mine[AT(n,g)];
  if :: got[AT(n,g)] -> exclude(n,g) :: else fi;
  OLDANSWER(AT(n,g))
}
inline learnt(g) {
  if :: ranNow[AT(0,g)] && hot[AT(0,g)] -> holder[g]=0; same[g]=1; epoch[g]=ranAs[AT(0,g)]
     :: !(ranNow[AT(0,g)] && hot[AT(0,g)]) && ranNow[AT(1,g)] && hot[AT(1,g)] -> holder[g]=1; same[g]=1; epoch[g]=ranAs[AT(1,g)]
     :: else -> holder[g]=NOBODY; same[g]=0;
          epoch[g]=(seen[AT(0,g)]>seen[AT(1,g)] -> seen[AT(0,g)] : seen[AT(1,g)]);
          HOW(AT(0,g),g,WEAK); HOW(AT(1,g),g,WEAK)
  fi;
  due[g]=T+1; rests[g]=NOTHING; unshot[g]=0
}

inline hit(t) {
  if :: on[t] ->
        assert(shotAt(t) || learning);            /* S5: by an open, begun mandate only */
#ifndef M_PROVENEXCL                              /* which needs M_EXBEGUN gone too, and that breaks this first */
        assert(!kept[t]);                         /* S5: never a node whose right was extended since */
#endif
        assert(!shot[PEER(t)]);                   /* S5: never both */
        poweroff(t); shot[t]=1
     :: else fi
}
inline proven(t, n) {
  printf("W: %c is proven off\n", C(t)); endsAll(t,PROOF);
  if :: holder[aim]==NOBODY && FITBAR(n) && gave[AT(n,aim)]==0 && !bad[AT(n,aim)] && ORDERED(n,aim) && top<TOPMOST(n) && asks[AT(n,aim)] ->
        printf("W grants epoch %d to %c\n", top+1, C(n)); req[AT(n,aim)]=0; patience[AT(n,aim)]=T; give(n,aim)
     :: else -> asks[AT(n,aim)]=req[AT(n,aim)] fi;
  over()
}

proctype machine(byte n) {
  do
  /* the first message of a life; what earlier lives asked can no longer be granted */
  :: d_step { can(n) && wit && INORDER && !met[n] ->
       printf("%c introduces itself\n", C(n)); stalelife(AT(n,0),n,0); introduced(n,0);
#if G==2
       stalelife(AT(n,1),n,1); introduced(n,1);
#endif
       if :: newboot[n] && target==n && phase==OPEN -> over(); ex[PEER(n)]=(ex[PEER(n)]==READ -> IDLE : ex[PEER(n)])
          :: newboot[n] && target==n && phase==BEGUN -> phase=SETTLED
          :: else fi;
       newboot[n]=0;
       if :: learning -> told[n]=1; report(n,0);
#if G==2
               report(n,1);
#endif
               INFLIGHT(n)
          :: else fi;
       met[n]=1; clear[n]=1 }
#ifdef REINST
  /* the same, and the answer is lost */
  :: d_step { can(n) && wit && !learning && !met[n] && newboot[n] ->
       printf("%c introduces itself, and hears nothing\n", C(n)); stalelife(AT(n,0),n,0); introduced(n,0);
       if :: target==n && phase==OPEN -> over(); ex[PEER(n)]=(ex[PEER(n)]==READ -> IDLE : ex[PEER(n)])
          :: target==n && phase==BEGUN -> phase=SETTLED
          :: else fi;
       newboot[n]=0 }
#endif
#ifdef M_TWOSTEP
  :: d_step { can(n) && ex[n]==5 -> printf("%c shoots\n", C(n)); ex[n]=SHOT; fuse[n]=FT; if :: wit && phase==OPEN && by==n -> phase=BEGUN; limit=FT+1 :: else fi }
#endif
#ifdef FENCE
  /* the only question before a shot, and its answer the permission; the reading is stored with it */
  :: d_step { talks(n) && ex[n]==READ ->
       if :: phase==OPEN && target==PEER(n) && by==n && BEGINASK(n) && barred[AT(n,aim)]==0 ->
               printf("%c begins to shoot %c\n", C(n), C(PEER(n))); BEGIN(n)
          :: phase==OPEN && target==PEER(n) && by==n && !(BEGINASK(n) && barred[AT(n,aim)]==0) -> BEGINREADING(n)
          :: else -> ex[n]=IDLE
       fi }
  /* it hears the holder: it withdraws its ask */
  :: d_step { can(n) && can(PEER(n)) && (ex[n]==READ || ex[n]==IDLE) && phase==OPEN && by==n && target==PEER(n) && asks[AT(n,aim)] && !req[AT(n,aim)] && grant[AT(n,aim)]==0 ->
       printf("%c hears %c and withdraws its ask\n", C(n), C(PEER(n))); asks[AT(n,aim)]=0; READDROP(n) }
  /* the mandate is over without it: it asks anew or not at all */
  :: d_step { can(n) && ex[n]==IDLE && asks[AT(n,0)] && !req[AT(n,0)] && grant[AT(n,0)]==0 && wit && !(phase!=NONE && by!=n && target==PEER(n) && aim==0) -> asks[AT(n,0)]=0 }
#if G==2
  :: d_step { can(n) && ex[n]==IDLE && asks[AT(n,1)] && !req[AT(n,1)] && grant[AT(n,1)]==0 && wit && !(phase!=NONE && by!=n && target==PEER(n) && aim==1) -> asks[AT(n,1)]=0 }
#endif
  :: d_step { FLIES(n) && fuse[n]>0 -> printf("%c's shot reaches %c\n", C(n), C(PEER(n))); hit(PEER(n)); fuse[n]=0; ex[n]=OFF }
  :: d_step { ex[n]==SHOT && fuse[n]>0 && MISS -> printf("%c's shot fails\n", C(n)); MISSED; fuse[n]=0; NOSTATUS(n) }
  :: d_step { talks(n) && ex[n]==OFF -> ex[n]=IDLE;
       if :: phase==BEGUN && by==n && target==PEER(n) -> proven(PEER(n), n)
          :: phase==SETTLED && by==n && target==PEER(n) -> endsAll(PEER(n),PROOF); over()
          :: else -> printf("W: that mandate is over\n") fi }
  :: d_step { talks(n) && ex[n]==FAIL -> ex[n]=IDLE;
       if :: phase==BEGUN && by==n && target==PEER(n) && !HOSTNEXT(n) -> printf("W: %c's shot proved nothing\n", C(n)); UNSHOT(aim,1); over()
          :: phase==SETTLED && by==n && target==PEER(n) -> over()
          :: else fi }
#endif
  od
}


inline lost(g) { holder[g]=NOBODY; epoch[g]=0; same[g]=0; how[AT(0,g)]=0; how[AT(1,g)]=0; rests[g]=0; unshot[g]=0; barred[AT(0,g)]=0; barred[AT(1,g)]=0; NOORDER(g) }

proctype host() {
  do
#ifdef FENCE
  /* nothing was heard of the executor in time, or the asker has gone silent */
  :: d_step { wit && !learning && ASKSILENT -> printf("W voids the mandate: the asker is silent\n"); over() }
  :: d_step { wit && !learning && phase>=BEGUN && limit==0 -> printf("W closes the mandate\n");
       if :: phase==BEGUN -> UNSHOT(aim,1) :: else fi; over() }
#ifdef HOST
  :: d_step { wit && !learning && target<2 && hfuse==0 && by!=HOSTX && (phase==OPEN || phase==BEGUN && WAITOUT) && ASKERALIVE && asks[AT(PEER(target),aim)] && barred[AT(PEER(target),aim)]==0 ->
       printf("the witness host begins to shoot %c\n", C(target));
       kept[target]=0; phase=BEGUN; by=HOSTX; hfuse=FT; limit=FT+1; ex[PEER(target)]=(ex[PEER(target)]==READ -> IDLE : ex[PEER(target)]) }
  :: d_step { wit && hfuse>0 -> printf("the witness host's shot reaches %c\n", C(target)); hfuse=0; hit(target);
       if :: !learning && phase>=BEGUN -> endsAll(target,PROOF); asks[AT(PEER(target),aim)]=req[AT(PEER(target),aim)]; over() :: else fi }   /* the asker's next ask is granted */
  :: d_step { wit && hfuse>0 && MISS -> printf("the witness host's shot fails\n"); MISSED; hfuse=0; if :: phase==BEGUN -> UNSHOT(aim,1) :: else fi; over() }
#endif
#endif
#ifdef LOSS
  :: d_step { wit && learning && told[0] && told[1] && LEARNSHOT ->
       printf("W has learnt what both know\n"); learning=0; told[0]=0; told[1]=0; over(); learnt(0);
#if G==2
       learnt(1);
#endif
     }
#endif
  :: d_step { wit && FAULT -> printf("W crashes\n"); faults++; wit=0; hfuse=0; due[0]=0; limit=0;
#if G==2
       due[1]=0
#endif
     }
  :: d_step { !wit && BARRIER -> printf("W is back\n"); wit=1; NEWLEAD; LEADER(0);
#if G==2
       LEADER(1);
#endif
       if :: phase>=BEGUN -> limit=FT+1 :: else fi }
#ifdef LOSS
  :: d_step { !wit && FAULT -> printf("W is back without its memory\n"); faults++; wit=1; top=0; lost(0);
#if G==2
       lost(1);
#endif
       over(); learning=1; told[0]=0; told[1]=0; met[0]=0; met[1]=0 }
#endif
  od
}

/* ---- time ---- */

#define dec(x) if :: x>0 -> x-- :: else fi

inline lapse(n,g) {
  if :: hot[AT(n,g)] && !right(AT(n,g)) ->
        STEADYASSERT;
        if :: mind[n]==AWAKE && !frozen[AT(n,g)] -> if :: met[n] -> SEND(n,g,mine[AT(n,g)]) :: else fi; BACK(AT(n,g),1); down(AT(n,g))
           :: mind[n]==AWAKE && frozen[AT(n,g)] || WATCHED(mind[n]) -> poweroff(n)
           :: else fi
     :: else fi
}
inline older(i) { dec(lease[i]); dec(word[i]); dec(bound[i]); dec(patience[i]) }
inline burn(n) { if :: fuse[n]>0 -> fuse[n]--; if :: fuse[n]==0 && ex[n]==SHOT -> BURNT(n) :: else fi :: else fi }

#ifdef CALM
bool ticked;
#endif
proctype time() {
  do
  :: d_step { URGENTLESS ->
       printf("  - tick -\n"); TICKGHOST;
       older(AT(0,0)); older(AT(1,0)); if :: wit -> dec(due[0]) :: else fi;
#if G==2
       older(AT(0,1)); older(AT(1,1)); if :: wit -> dec(due[1]) :: else fi;
#endif
       if :: wit -> dec(limit) :: else fi;
       burn(0); burn(1); if :: hfuse>0 -> hfuse--; if :: hfuse==0 -> MISSEDHOST :: else fi :: else fi;
       lapse(0,0); lapse(1,0);
#if G==2
       lapse(0,1); lapse(1,1);
#endif
       CALMTICK }
  od
}

/* ---- fate ---- */

/* DRBD connects and resynchronises, unless both copies have writes of their own or a running one would lose its */
#define RECONNECTS(g) (!conn[g] && on[0] && on[1] && !(hot[AT(0,g)] && hot[AT(1,g)]) && !(stale[AT(0,g)] && stale[AT(1,g)]) && \
  !(hot[AT(0,g)] && stale[AT(0,g)]) && !(hot[AT(1,g)] && stale[AT(1,g)]))
inline rejoin(g) {
  printf("DRBD reconnects, both in step\n"); conn[g]=1;
  stale[AT(0,g)]=0; stale[AT(1,g)]=0; gap[AT(0,g)]=0; gap[AT(1,g)]=0;
  lone[AT(0,g)]=0; lone[AT(1,g)]=0; frozen[AT(0,g)]=0; frozen[AT(1,g)]=0;
#if defined(TRAVEL) || defined(M_EXIT4)
  exq[AT(0,g)]=0; exq[AT(1,g)]=0;
#endif
}


proctype fate(byte n) {
  do
  :: d_step { FAULT && on[n] && MAYFAIL(n) -> printf("%c crashes\n", C(n)); faults++; poweroff(n); shot[n]=0 }
  :: d_step { !on[n] && MAYBOOT(n) -> printf("%c boots\n", C(n)); on[n]=1; shot[n]=0; bad[AT(n,0)]=0;
       BOUNDAFRESH(AT(n,0));
#if G==2
       BOUNDAFRESH(AT(n,1)); bad[AT(n,1)]=0;
#endif
     }
#ifdef CALM
  :: d_step { n==0 && !gone && on[0] && FAULT -> printf("A goes for good\n"); faults++; gone=1; poweroff(0) }
  :: d_step { n==0 && !gone && !on[0] -> gone=1 }
#endif
  :: d_step { FAULT && can(n) && MAYHANG -> printf("%c's agent stands still\n", C(n)); faults++; mind[n]=HUNG }
#ifdef CLOCK
  :: d_step { FAULT && can(n) && MAYHANG && !armed[n] -> printf("%c's agent stands still, no watchdog is armed\n", C(n)); faults++; mind[n]=BARE }
#endif
#ifdef VMPAUSE
  :: d_step { FAULT && can(n) -> printf("%c, all of it, stands still\n", C(n)); faults++; mind[n]=FROZENVM }
#endif
  :: d_step { on[n] && mind[n]!=AWAKE -> printf("%c wakes\n", C(n));
#ifdef VMPAUSE
       assert(mind[n]!=FROZENVM || !((hot[AT(n,0)] && hot[AT(PEER(n),0)])));      /* S1 */
#endif
       mind[n]=AWAKE; ex[n]=(ex[n]==SHOT -> FAIL : ex[n]); if :: ex[n]==FAIL -> fuse[n]=0 :: else fi; lapse(n,0);
#if G==2
       lapse(n,1)
#endif
     }
  :: d_step { FAULT && on[n] && mind[n]!=FROZENVM && MAYHANG -> printf("%c's agent is restarted\n", C(n)); faults++; mind[n]=AWAKE; met[n]=0; ORPHAN(n);
       forget(AT(n,0)); BOUNDAFRESH(AT(n,0)); ASKLOST(AT(n,0));
#ifdef TRAVEL
       exq[AT(n,0)]=0;
#endif
       lapse(n,0);
#if G==2
       forget(AT(n,1)); BOUNDAFRESH(AT(n,1)); ASKLOST(AT(n,1)); lapse(n,1)
#endif
     }
  :: d_step { n==0 && FAULT && conn[0] -> printf("the replication link is cut\n"); faults++; cut(0);
#if G==2
       if :: conn[1] -> cut(1) :: else fi
#endif
     }
  :: d_step { n==0 && RECONNECTS(0) -> rejoin(0) }
#if G==2
  :: d_step { n==0 && RECONNECTS(1) -> rejoin(1) }
#endif
#ifdef DISK
  :: d_step { FAULT && on[n] && !bad[AT(n,0)] && !bad[AT(PEER(n),0)] && conn[0] ->
       printf("%c's disk fails\n", C(n)); faults++; bad[AT(n,0)]=1;
       if :: hot[AT(0,0)] || hot[AT(1,0)] -> stale[AT(n,0)]=1; GAP(n) :: else fi }
#endif
#ifdef M_EXPIRE
  :: d_step { wit && barred[AT(n,0)]>0 && due[0]==0 -> printf("the exclusion of %c expires\n", C(n)); barred[AT(n,0)]=0 }
#endif
  od
}


init {
  d_step {
    on[0]=1; on[1]=1; clear[0]=1; clear[1]=1; met[0]=1; met[1]=1; phase=NONE; by=NOBODY;
    holder[0]=0; epoch[0]=1; same[0]=1; due[0]=T+1; conn[0]=1; ranEpoch[0]=1; ranNode[0]=0; NOORDER(0);
    hot[AT(0,0)]=1; mine[AT(0,0)]=1; lease[AT(0,0)]=T; seen[AT(0,0)]=1; seen[AT(1,0)]=1; whose[AT(0,0)]=0; whose[AT(1,0)]=0;
#if G==2
    top=2; holder[1]=SECOND; epoch[1]=2; same[1]=1; due[1]=T+1; conn[1]=1; ranEpoch[1]=2; ranNode[1]=SECOND; NOORDER(1);
    hot[AT(SECOND,1)]=1; mine[AT(SECOND,1)]=2; lease[AT(SECOND,1)]=T; seen[AT(0,1)]=2; seen[AT(1,1)]=2; whose[AT(0,1)]=SECOND; whose[AT(1,1)]=SECOND;
#endif
  }
  atomic {
    run agent(0,0); run agent(1,0); run desk(0,0); run desk(1,0);
#if G==2
    run agent(0,1); run agent(1,1); run desk(0,1); run desk(1,1);
#endif
    run machine(0); run machine(1); run host(); run time(); run fate(0); run fate(1)
  }
}

#ifdef CALM
/* L1: once A is gone for good and B is not excluded, B runs the group again and again */
ltl goes_on { ([]<> ticked) && ([]<> !ticked) }     /* time goes on whatever happens: no fairness is assumed anywhere */
ltl l1 { [] ((gone && barred[1]==0 && gave[1]==0 && !bad[1]) -> []<> hot[1]) }
#endif
