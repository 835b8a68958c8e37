/*
 * The rules that an instance or a deliberate weakening changes. -D M_NAME breaks the rule of that name: spin has to notice.
 */

/* -- what an instance has -- */
#ifdef ONENODE
#define SECOND 0
#else
#define SECOND 1
#endif

#ifdef FENCE
#define SHOOTS 1
#else
#define SHOOTS 0
#endif
#ifdef HOST
#define HOSTNEXT(n) 1
#else
#define HOSTNEXT(n) 0
#endif

#ifdef LOG
#define INORDER (prop==0)
#define ENDPEER(n,g) prop=1+n; judged=epoch[g]
#else
#define INORDER 1
#define ENDPEER(n,g) ends(PEER(n),g,WEAK); armed[PEER(n)]=hot[it]; give(n,g)
#endif
#if defined(M_INFLIGHT)     /* the holder is answered while the command that ends its lease is on its way */
#define QUIET 1
#define BARRIER INORDER
#define NEWLEAD skip
#define OLDLEAD skip
#elif defined(M_BARRIER)    /* a new leader answers before what the last one proposed is applied or lost */
bool newlead;
#define QUIET (INORDER || newlead)
#define BARRIER 1
#define NEWLEAD newlead=1
#define OLDLEAD newlead=0
#else
#define QUIET INORDER
#define BARRIER INORDER
#define NEWLEAD skip
#define OLDLEAD skip
#endif

#ifdef SWITCH
#define NOORDER(g) order[g]=NOBODY
#define ORDERED(n,g) (order[g]==NOBODY || order[g]==n)
byte moving;
#define KEEPORDER(g) moving=order[g]
#define TAKEORDER(g) order[g]=moving; moving=0
#define DISORDERED(g,n) if :: order[g]==n -> order[g]=NOBODY :: else fi
#else
#define NOORDER(g) skip
#define ORDERED(n,g) 1
#define KEEPORDER(g) skip
#define TAKEORDER(g) skip
#define DISORDERED(g,n) skip
#endif

#ifdef TRAVEL
#define NUMBERED(v) number++; v=number
#define WORDED(v) words++; v=words
#else
#define NUMBERED(v) v=1
#define WORDED(v) v=1
#endif

/* what nobody would look at is not kept: fewer states */
#if defined(REINST) || defined(LOSS) || defined(M_QUARANTINE)
#define WHOSE(i,h) whose[i]=h
#else
#define WHOSE(i,h) skip
#endif
#ifdef TRAVEL
#define SEND(n,g,e) rel[AT(n,g)]=e
#else
#define SEND(n,g,e) if :: wit && !learning && QUIET -> receipt(n,g,e) :: else fi     /* unheard: as if the agent forgot it */
#endif
#if defined(PROMISE) || defined(LOSS) || defined(M_QUARANTINE)
#define NOTE(i,e,h) seen[i]=e; WHOSE(i,h)
#define GOT(i) got[i]=1
#else
#define NOTE(i,e,h) skip
#define GOT(i) skip
#endif
#if defined(REINST) || defined(M_QUARANTINE)
#define BACK(i,v) back[i]=v
#else
#define BACK(i,v) skip
#endif
#ifdef PROMISE
#define HOW(i,g,c) how[i]=c
#define RESTS(n,g) if :: how[AT(PEER(n),g)]!=NOTHING -> rests[g]=how[AT(PEER(n),g)] :: else -> rests[g]=PROOF fi
#ifdef M_OLDPROOF           /* a proof of death overcomes a promise that was given after it */
#define PROMISED(n,g) skip
#else
#define PROMISED(n,g) if :: how[AT(n,g)]==PROOF -> how[AT(n,g)]=WEAK :: else fi; \
  if :: holder[g]==PEER(n) && rests[g]==PROOF -> rests[g]=WEAK :: else fi; \
  if :: basis[AT(PEER(n),g)]==PROOF -> basis[AT(PEER(n),g)]=WEAK :: else fi
#endif
#else
#define HOW(i,g,c) skip
#define RESTS(n,g) skip
#define PROMISED(n,g) skip
#endif
#if defined(FENCE) && defined(CLOCK)
#define UNSHOT(g,v) unshot[g]=v
#else
#define UNSHOT(g,v) skip
#endif

/* STEADY: nodes neither fail nor give back, and time goes on only when beats have been answered */
#ifdef STEADY
#define GIVEBACK 0
#define MAYFAIL(n) 0
#define MAYHANG 0
#define STEADYASSERT assert(0)                                     /* L2 */
#define ASKWORTH(n,g) (!(can(PEER(n)) && hot[it]) && (top<MAXE || holder[g]==n))
#ifdef M_NOPROMISE
#define URGENTLESS (!(wit && lease[0]<T))
#else
#define URGENTLESS (word[0]==T && (!wit || learning || lease[0]==T) && !(wit && (!met[0] || !met[1])))
#endif
#endif

/* CALM: what the node that is left can do, it does before time goes on; a node asks once per tick */
#ifdef CALM
#define GIVEBACK 0
#define MAYFAIL(n) (n==0)
#define MAYHANG (n==0)
#define MAYBOOT(n) (n==1 || !gone)
#define MISS FAULT
#define MISSED faults++
#define ASKWORTH(n,g) (!asked[n] && CALMBOUND(me) && (top<(gone -> MAXE : MAXE-3) || holder[g]==n))
#ifdef FENCE
#define CALMBOUND(i) 1
#else
#define CALMBOUND(i) (bound[i]==0)     /* a grant on the clock's word would be given back: it waits */
#endif
#define CALMTICK asked[0]=0; asked[1]=0
#define TICKGHOST ticked=!ticked
bool gone; bool asked[2];
#define TOPMOST(n) ((n)==1 && gone -> MAXE : MAXE-2)     /* the bound on epochs must not be what stops B */
#ifdef SWITCH
#define TOGONE (order[0]==0)           /* an order to move the group to A: it is withdrawn after a while */
#else
#define TOGONE 0
#endif
#define URGENTLESS (!gone || wit && !learning && !TOGONE && can(1) && met[1] && !req[1] && grant[1]==0 && rel[1]==0 && (ex[1]==IDLE) && hfuse==0 && \
  (hot[1] || (asks[1] -> phase!=NONE : asked[1] || !CALMBOUND(1)) || gave[1]>0 || barred[1]>0 || bad[1]) && !(hot[1] && (lease[1]<T || frozen[1])) && !owes[1] && !(phase>=BEGUN && limit==0))
#define OVERTAKE(i) asked[n]=1
#define ASKSILENT (phase==OPEN && !asks[AT(PEER(target),aim)])
#else
#define ASKSILENT (phase==OPEN)
#endif

#ifndef TOPMOST
#define TOPMOST(n) MAXE
#endif
#ifndef GIVEBACK
#define GIVEBACK 1
#endif
#ifndef MAYFAIL
#define MAYFAIL(n) 1
#endif
#ifndef MAYHANG
#define MAYHANG 1
#endif
#ifndef MAYBOOT
#define MAYBOOT(n) 1
#endif
#ifndef MISS
#define MISS 1
#define MISSED skip
#endif
#ifndef STEADYASSERT
#define STEADYASSERT skip
#endif
#ifndef ASKWORTH
#define ASKWORTH(n,g) (top<MAXE || holder[g]==n)
#endif
#ifndef CALMTICK
#define CALMTICK skip
#define TICKGHOST skip
#endif
#ifndef OVERTAKE
#define OVERTAKE(i) skip
#endif
#ifndef URGENTLESS     /* a tick that changes nothing is none */
#if G==2
#define RUNNING1 (lease[AT(0,1)]+word[AT(0,1)]+bound[AT(0,1)]+patience[AT(0,1)]+lease[AT(1,1)]+word[AT(1,1)]+bound[AT(1,1)]+patience[AT(1,1)]+due[1]>0 || hot[AT(0,1)] || hot[AT(1,1)])
#else
#define RUNNING1 0
#endif
#define URGENTLESS (lease[AT(0,0)]+word[AT(0,0)]+bound[AT(0,0)]+patience[AT(0,0)]+lease[AT(1,0)]+word[AT(1,0)]+bound[AT(1,0)]+patience[AT(1,0)]+due[0]+limit+fuse[0]+fuse[1]+hfuse>0 || \
  hot[AT(0,0)] || hot[AT(1,0)] || RUNNING1)
#endif

/* -- the holder's clock and the leader's -- */
#ifdef M_GRANTFRESH         /* a grant counts from its arrival, not from before the request left */
#define FRESH(i) T
#define LATE(i) 0
#else
#define FRESH(i) patience[i]
#define LATE(i) (patience[i]==0)
#endif
#ifdef M_REPLY              /* a renewal counts from its answer */
#define RENEWTURN (!rnw[me])
#else
#define RENEWTURN (lease[me]<T || due[g]<T+1 || (phase==OPEN && target==n))
#endif
#ifdef M_NEWLEADER          /* a new leader takes leases for what it remembers: nothing */
#define LEADER(g) due[g]=0
#else
#define LEADER(g) due[g]=T+1
#endif
#ifdef M_UNARMED            /* E2 whether or not a watchdog was armed */
#define OUTLASTS(n) 1
#else
#define OUTLASTS(n) (mind[n]!=BARE)
#endif
#ifdef M_PROMISING          /* E2 while a promise of the caller's own runs */
#define PROMISELESS(i) 1
#else
#define PROMISELESS(i) (bound[i]==0)
#endif
#ifdef M_EARLYE2            /* E2 before the lease has run out */
#define RUNOUT(g) 1
#else
#define RUNOUT(g) (due[g]==0)
#endif
#ifdef CLOCK
#ifdef FENCE
#define OUTLIVED(n,g) (RUNOUT(g) && OUTLASTS(PEER(n)) && PROMISELESS(AT(n,g)) && phase==NONE && unshot[g])
#else
#define OUTLIVED(n,g) (RUNOUT(g) && OUTLASTS(PEER(n)) && PROMISELESS(AT(n,g)) && phase==NONE)
#endif
#else
#define OUTLIVED(n,g) 0
#endif
#ifdef M_PAUSE              /* E2 for a watchdog that stands still with its machine */
#define WATCHED(m) ((m)==HUNG)
#else
#define WATCHED(m) ((m)==HUNG || (m)==FROZENVM)
#endif
#ifdef M_OVERTAKEN          /* a late give-back ends the lease taken again */
#define GIVINGBACK(i) 0
#else
#define GIVINGBACK(i) (rel[i]>0)
#endif

/* -- promises -- */
#ifdef M_MARGIN             /* the promiser's clock may end before the promisee's */
#define PT (T-1)
#else
#define PT (T+1)
#endif
#ifdef PROMISE
#ifdef M_FORGET             /* a promise is forgotten when its giver starts */
#define BOUNDAFRESH(i) bound[i]=0
#else
#define BOUNDAFRESH(i) bound[i]=PT
#endif
#else
#define BOUNDAFRESH(i) skip
#endif
#if defined(M_BASIS)        /* a promise is not held against any grant */
#define BINDS(n,g) 0
#else
#define BINDS(n,g) (bound[me]>0 && basis[me]!=PROOF)
#endif
#ifdef M_OWNWORD            /* a node that has given its copy up takes the grant that still arrives */
#define ACCEPTS(n,g) (!bad[me] && !BINDS(n,g))
#else
#define ACCEPTS(n,g) (gave[me]==0 && !bad[me] && !BINDS(n,g))
#endif
#ifdef M_LAUNDER            /* how the other node's lease ended is forgotten once the group was granted */
#define LAUNDER(n,g) how[AT(PEER(n),g)]=NOTHING
#else
#define LAUNDER(n,g) skip
#endif
#ifdef M_ASKLOST            /* an open ask is not stored */
#define ASKLOST(i) asks[i]=0
#else
#define ASKLOST(i) skip
#endif
#if G==2
#define ASKING(m) (asks[AT(m,0)] || asks[AT(m,1)])
#else
#define ASKING(m) asks[m]
#endif
#if defined(M_ASKPROMISE)   /* a promise is given while an own ask is open */
#define MAYPROMISE(m,g) (can(m) && !hot[AT(m,g)] && clear[m])
#elif defined(M_ASKGROUP)   /* ... while an own ask for another group is open */
#define MAYPROMISE(m,g) (can(m) && !hot[AT(m,g)] && clear[m] && !asks[AT(m,g)])
#elif defined(M_READING)    /* ... while an own shot is under way whose ask was withdrawn */
#define MAYPROMISE(m,g) (can(m) && !hot[AT(m,g)] && clear[m] && !ASKING(m))
#elif defined(M_QPROMISE)   /* ... while booting in quarantine */
#define MAYPROMISE(m,g) (can(m) && !hot[AT(m,g)] && !ASKING(m) && ex[m]==IDLE)
#else
#define MAYPROMISE(m,g) (can(m) && !hot[AT(m,g)] && clear[m] && !ASKING(m) && ex[m]==IDLE)
#endif
#ifdef M_ASKWORD            /* the word to give one's copy up while an own ask is open */
#define MAYSPEAK(m,g) (can(m) && !hot[AT(m,g)] && clear[m])
#else
#define MAYSPEAK(m,g) (can(m) && !hot[AT(m,g)] && clear[m] && !ASKING(m) && ex[m]==IDLE)
#endif

/* -- exclusions -- */
#ifdef M_NOASK              /* a promotion does not ask for the exclusion of an absent peer */
#define PROMOTE(n,g) alone(n,g)
#else
#define PROMOTE(n,g) frozen[AT(n,g)]=1
#endif
#ifdef M_EXBEGUN            /* an Exclude of a holder that is being shot */
#define EXBEGUN(n) 1
#else
#define EXBEGUN(n) (!shotAt(n))
#endif
#ifdef M_LASTCOPY           /* the last copy that is not excluded may be excluded */
#define LASTCOPY(n,g) 1
#else
#define LASTCOPY(n,g) (barred[AT(n,g)]==0 && gave[AT(n,g)]==0 && !bad[AT(n,g)])
#endif
#ifdef M_NUMBER             /* readmission without numbers */
#define NUMBERS(x) 1
#else
#define NUMBERS(x) (x)
#endif
#ifdef M_WORD               /* an old readmission clears a newer word */
#define M_WORDON 1
#else
#define M_WORDON 0
#endif
#ifdef M_GRANTEXCL          /* a grant excludes the other node */
#define GRANTEXCL(n,g) exclude(n,g)
#else
#define GRANTEXCL(n,g) skip
#endif
#ifdef M_DISKWORD           /* the loser of a disk does not record it */
#define DISKWORD(i) skip
#else
#define DISKWORD(i) WORDED(gave[i])
#endif
#ifdef M_DISKEXCL           /* the holder does not exclude a peer that lost its disk */
#define DISKEXCL(n,g) skip
#else
#define DISKEXCL(n,g) exclude(n,g)
#endif
#ifdef X_OWNDISK            /* the exception of S2 read narrowly: the peer's disk only */
#define GAP(n) if :: !hot[AT(n,0)] -> gap[AT(n,0)]=1 :: else fi
#else
#define GAP(n) gap[AT(n,0)]=1
#endif

/* -- mandates -- */
#ifdef M_RENEWBEGUN         /* a renewal after the shot has begun */
#define RENEWBEGUN(n) 1
#else
#define RENEWBEGUN(n) (!shotAt(n))
#endif
#ifdef M_ONEMANDATE         /* one mandate per target, not per cluster */
#define ONEMANDATE(n,g) (phase!=NONE && target==PEER(n))
#else
#define ONEMANDATE(n,g) (phase!=NONE && !(phase==SETTLED && target==PEER(n) && holder[g]==NOBODY))
#endif
#ifdef M_READING            /* a shot goes on though its ask was withdrawn: what is to be shot is heard again */
#define READDROP(n) skip
#define BEGINASK(n) 1
#else
#define READDROP(n) ex[n]=IDLE
#define BEGINASK(n) asks[AT(n,aim)]
#endif
#ifdef M_WITHDRAW           /* "a mandate is under way" is a final answer: the ask is closed while the witness host shoots for it */
#define RETRYLATER(n,g) refused(me)
#else
#define RETRYLATER(n,g) if :: phase>=BEGUN && target==PEER(n) && aim==g -> patience[me]=0 :: else -> refused(me) fi
#endif
#define READVOID(n) ex[n]=IDLE
#define BEGINREADING(n) over(); ex[n]=IDLE
#ifdef M_TWOSTEP            /* the question and the record of the shot are two steps */
#define BEGIN(n) ex[n]=5; kept[PEER(n)]=0
#else
#define BEGIN(n) phase=BEGUN; limit=FT+1; fuse[n]=FT; ex[n]=SHOT; kept[PEER(n)]=0
#endif
#ifdef M_LATESHOT           /* a shot may land after the mandate's deadline */
#define BURNT(n) fuse[n]=1
#else
#define BURNT(n) ex[n]=FAIL
#endif
#ifdef M_ORPHAN             /* a shot survives its agent */
#define ORPHAN(n) ex[n]=IDLE
#define FLIES(n) 1
#else
#define ORPHAN(n) ex[n]=IDLE; fuse[n]=0
#define FLIES(n) (ex[n]==SHOT)
#endif
#ifdef M_NOSTATUS           /* off is reported without having been read */
#define NOSTATUS(n) ex[n]=OFF
#else
#define NOSTATUS(n) ex[n]=FAIL
#endif
#define MISSEDHOST skip
#ifdef M_HOSTSOON           /* the next executor begins before the deadline of the one before */
#define WAITOUT 1
#else
#define WAITOUT (limit==0)
#endif
#define ASKERALIVE can(PEER(target))
#ifdef M_PROVENEXCL         /* the proof grants to whoever asked, excluded or not */
#define FITBAR(n) 1
#else
#define FITBAR(n) (barred[AT(n,aim)]==0)
#endif

/* -- boots -- */
#ifdef M_BOOTRUNS           /* a new boot id ends the lease of a target that runs the group by its peer's word */
#define BOOTRUNS(n) (!shotAt(n))
#else
#define BOOTRUNS(n) 1
#endif
#ifdef M_HELLOASK           /* the first message of a new life ends an ask for which a shot may be on its way */
#define ANSWERED(i,n,g) asks[i]=0
#else
#define ANSWERED(i,n,g) if :: phase!=NONE && target==PEER(n) && aim==g && by==HOSTX :: else -> asks[i]=0 fi
#endif

#ifdef M_REINSTBARE         /* a booted holder goes on by its peer's word without a watchdog */
#define REINSTARMED(n) skip
#else
#define REINSTARMED(n) armed[n]=1
#endif

/* -- a witness without its memory -- */
#ifdef M_FLOOR              /* the epochs that the nodes have seen are ignored */
#define FLOOR(n,g) top=1
#else
#define FLOOR(n,g) if :: seen[AT(n,g)]>top -> top=seen[AT(n,g)] :: else fi
#endif
#ifdef M_OLDANSWER          /* an answer of the lost memory counts after the report */
#define OLDANSWER(i) skip
#else
#define OLDANSWER(i) forget(i)
#endif
#ifdef M_LEARNSHOT          /* a shot begun under the lost memory is not waited out */
#define INFLIGHT(n) skip
#define LEARNSHOT 1
#else
#define INFLIGHT(n) if :: ex[n]>=SHOT -> \
    if :: phase==SETTLED && target!=PEER(n) -> target=NOBODY :: else -> target=PEER(n) fi; phase=SETTLED; by=n; limit=FT+1 :: else fi
#define LEARNSHOT (phase==NONE || limit==0)
#endif

/* -- switchover -- */
#ifdef M_RECEIPT            /* the group is free before its holder has said that it stopped */
#define RECEIPTFIRST(n,g) ends(n,g,PROOF); order[g]=PEER(n)
#else
#define RECEIPTFIRST(n,g) skip
#endif
