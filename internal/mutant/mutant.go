// Package mutant answers "would anybody notice if this rule were weaker?" It
// names one-line weakenings of the rules that the guarantees rest on. Each has
// its one line at the rule itself, behind [On].
//
// On is a constant false, and the weakening gone from the program, unless it is
// built with -tags mutants, as only the hunter for mutants is (package
// sbarbiter/internal/mutant/hunt).
package mutant

// Name names one weakening. What each breaks, and how that is found, is the
// table of package hunt.
type Name uint8

// None is no weakening at all.
const None Name = 0

// The weakenings of what a lease's time is worth.
const (
	LeaseFromReply          Name = iota + 1 // counted from the answer, not from before the question
	VerdictFromResend                       // a verdict given once more counts from the last time it was asked for
	NoMargin                                // a leader waits no longer than the holder counts
	WatchdogUncounted                       // the last feed does not leave the watchdog its time
	FedAfterTheEnd                          // the watchdog is fed whatever right there is
	NewLeaderGrantsAtOnce                   // a new leader takes leases for run out
	NewLeaderSuspectsAtOnce                 // a new leader takes everybody for silent
	LateLeaderGoesOn                        // a leader that was late believes what it heard before
	NotVerified                             // renewals are answered without asking whether this is still the leader
	BeforeTheBarrier                        // a new leader begins before all earlier commands are applied
	RenewalBesideEnding                     // renewals are answered while a command may be ending their lease
	ClosingFeeds                            // a watchdog may be opened more than once in a boot
	E2BeforeExpiry                          // E2 is reached as soon as the holder is silent
	E2Unarmed                               // E2 needs no armed watchdog
)

// The weakenings of promises.
const (
	PromiseFlat         Name = iota + 40 // the promiser is bound no longer than the promisee counts
	PromiseForgotten                     // a restarted agent is bound by nothing
	PromiseFromReply                     // counted from the answer, not from before the question
	PromiseOfAnyEpoch                    // a promise for one epoch keeps another's holder in office
	PromiseWhileAsking                   // an open ask does not silence a node
	AskForgotten                         // an open ask ends with the agent that sent it
	E2WhilePromising                     // the witness grants at E2 whatever the caller has promised
	BasisIgnored                         // a promiser accepts every grant
	EndingNotSticky                      // a lease that ended by the clock is forgotten with the next unused grant
	RebootOvercomes                      // the boot after which a node was promised something counts as its later word
	RefusalVoidsPromise                  // a holder stops when a witness refuses it, whatever its peer has promised
	QuarantineSkipped                    // a booted node gives its word before anybody has spoken to it
	LostStorePromises                    // an agent without memory gives its word
	NothingPromised                      // nodes that hear each other give no word
	ReinstatedUnarmed                    // a booted holder goes on by its peer's word without a watchdog
	MetWhileBound                        // a machine that starts looks for a peer that its own word may keep in office
	LeftWhileAsking                      // an agent that ends for good leaves an ask behind
)

// The weakenings of exclusion and readmission.
const (
	ExclusionExpires    Name = iota + 80 // an exclusion ends with the lease that it was made under
	EarlyExit4                           // DRBD goes on before the exclusion is durable
	ExclusionUnstored                    // the holder does not store the exclusion that it obtained
	ReadmitByEpoch                       // whoever is in step under the exclusion's epoch is readmitted
	ExcludeWithBadDisk                   // a holder without good data may exclude its peer
	ExcludeLastCopy                      // a holder that is excluded itself may exclude its peer
	ExcludeOutOfTime                     // a holder past its deadline may exclude its peer
	ExcludeVoidsNothing                  // an accepted exclusion leaves an open mandate against the holder
	ExcludeAfterBegin                    // a holder at whom a shot has begun may exclude its peer
	WordWithoutReading                   // a node gives its copy up though its disk does not say so
	WordUnstored                         // a node's word about its copy is not stored
	OwnDiskIgnored                       // the failure of one's own disk is not recorded
	PeerDiskIgnored                      // the failure of the peer's disk is not recorded
	RecordTrusted                        // what DRBD has recorded of its peer counts as an exclusion
	GrantUnchecked                       // a grant looks at nothing but who holds the group
	FailedDiskBelieved                   // a copy whose disk has failed is connected as its metadata have it
	CacheBelieved                        // so is one whose resync a power cut has ended
	LostOverwritten                      // a copy that was declared lost, and is back, is made anew unasked
	LoneCopyMadeAnew                     // so is one whose disk has failed, and which was written to without its peer
	FoundIgnored                         // a node that was declared lost, and speaks, is taken for lost
	TakenBackKept                        // a word that a machine is lost is in force though it was taken back
	HandsFull                            // while one group's volume is copied away no other group is recovered
	ImpossibleJudged                     // evidence that cannot be so decides whose changes are given up
	LeasesOfBefore                       // who held the group before both copies were one decides whose changes since are kept
	ShownInTheWay                        // a dry run takes the place of what it finds
	LateWordCounts                       // a word that comes a second time counts a second time
	GivenUpUnseen                        // a copy that is kept is connected before the other one is given up
	AskedBefore                          // an ask of before DRBD asked answers it
	ReadmittedAtOnce                     // a copy is readmitted by what is known of the time before writes went on
	AlikeIsGood                          // two stale copies are good once they are alike
	PendingUnnumbered                    // a witness without memory gives no number to what a node's word alone has excluded
)

// The weakenings of mandates and identities.
const (
	MandateNotExclusive Name = iota + 120 // a mandate may stand beside another
	TwoSteps                              // the question before the shot leaves no trace
	ShotUnasked                           // the executor shoots on the mandate alone
	BeginUnjudged                         // a shot may begin though the target was heard
	RenewalVoidsNothing                   // a renewal leaves an open mandate against the holder
	RenewedAfterBegin                     // renewals are answered after the shot has begun
	AgainAfterBegin                       // a holder that asks again is answered after the shot has begun
	OffWithoutStatus                      // the witness takes any "off" for a proof
	OffNeverOn                            // the executor takes any "off" for a proof
	ProofWhileAlive                       // a proof counts though the target was heard after it
	OldLeaseForNewBoot                    // a new boot goes on under the old one's lease
	BootEndsAll                           // a new boot ends a lease under which it runs by its peer\'s word
	OrderFrees                            // an order to move a group frees it before its holder has stopped
	StaleLifeHeard                        // messages of an earlier life of a node count
	OvertakenHeard                        // a request that a later one has overtaken counts
	StopTakenForDone                      // a group counts as stopped once its stop is ordered
	OldStopBelieved                       // any stop that ended counts as the last one ordered
	NothingLearnt                         // a witness without memory grants at once
	FloorIgnored                          // a witness takes no notice of the epochs that nodes have seen
	NumbersGivenAgain                     // a witness without memory numbers from what nodes have seen
	MandatesForgotten                     // a witness without memory does not wait for shots that may be on their way
	BackupUnnoticed                       // a witness restored from a backup goes on
	OldIncarnationHeard                   // agents believe answers of a witness that was replaced
	SavedLate                             // memory is stored after what depends on it was said
	RangeOfTheLast                        // a witness without memory numbers above the last incarnation alone
	LandsUnawaited                        // a mandate is over with its proof, whatever may still land
	SuppliesOneByOne                      // supplies are off that were off one after the other
	ProofWhileItRuns                      // a proof counts though the target says in a beat that it runs
	GoneThoughHeard                       // a grant is taken over a holder that says in its beats that it runs
	WordWhileHeard                        // an operator's word counts about a node that is heard
	ReceiptLost                           // a stop receipt is not sent again by the agent's next life
	UntakenKept                           // a lease that was never taken is not given back
	FreshNumberedAnew                     // an agent with an empty store gets another number whenever it introduces itself
	RefusedForGood                        // a promotion that DRBD refuses is not tried again
)

// The weakenings of recoveries from split brain.
const (
	LagGivenUp          Name = iota + 170 // policies are asked though nobody has proven a split brain
	DirectionsMixed                       // volumes that lag behind in different directions are one group's copy
	OneVolumeCounts                       // a policy that counts changes looks at the first volume alone
	LimitIgnored                          // max_discard limits nothing
	PlanUnread                            // whoever is handed a plan does not look at it
	OrderIgnored                          // the steps of a plan may come in any order
	RevisionUnchecked                     // a word to one decision approves another
	ApprovedUnmeasured                    // what was approved begins whatever both sides have by now
	MeasuredOnce                          // nothing is measured again before something is given up
	GenerationsIgnored                    // copies that have moved on are what was decided on
	VictimNotExcluded                     // the copy that is given up is not stale before it is
	KeptTooSoon                           // a stale copy that a recovery keeps runs before both sides were measured for the last time
	PartedIgnored                         // agents connect the copies meanwhile as at any time
	CalledOffTooLate                      // a recovery may be called off after something was given up
	ReadmittedTooSoon                     // a victim is readmitted before the copies were brought together
	FlagGivenOnce                         // the wish to discard is uttered once, whatever becomes of the handshake
	FlagNotGivenAgain                     // a resync that does not come about is waited for
	GivenUpUnkept                         // a copy is given up that is not kept
	WrittenSinceIgnored                   // so is one that was written to after it was kept
	VictimMetUnflagged                    // the victim connects without the wish while it has data of its own
	AtMostIgnored                         // an order that was given beforehand has no limit
	WaitedForUnasked                      // one without a limit is carried out once the machine is back
	WaitingInTheWay                       // an order that waits for a machine stands in the way of every other
	AbandonedIsGood                       // a copy that was being given up is good once somebody has let go of that
	LooseMet                              // a copy that may still wish to be given up is kept without being parted first
	NothingPutBack                        // a recovery that is called off leaves stale what it has made stale
	PutBackSinceGranted                   // and puts it back though the other copy has run the group since
	CountedSinceLater                     // changes count though the bitmaps begin after the fork
	VictimUnknown                         // a victim that has just started copies before it knows its own disk
	LeftAlone                             // nobody connects what a recovery has parted as the resync was over
	SparedStaysStale                      // a victim that alone could run the group stays stale where its recovery comes to nothing
	UnseenStaysGood                       // a stale copy that was to be kept is good where that comes to nothing
	SplitAnewIgnored                      // a split after the resync waits for the readmission
	HandMeasuredOnce                      // by hand a victim that was in use is not measured again once it stands still
	KernelUseIgnored                      // what the kernel itself has on a volume is no use of it
	DRBDMayChoose                         // somebody is chosen where DRBD's own policies might choose otherwise
)
