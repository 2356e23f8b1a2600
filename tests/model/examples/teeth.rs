use keypool_model::{Desk,Request,Rule, Rule::*};
use stateright::{Checker,Model,HasDiscoveries};
use std::time::Instant;
fn main(){
  let r=Request::of;
  let configs: Vec<(&str,Desk)> = vec![
   ("small 2k 2a", Desk{crashes:1,timeouts:2,..Desk::new(2,[r(1),r(1)])}),
   ("small2 3k 2a", Desk{small_max:2,crashes:1,timeouts:2,..Desk::new(3,[r(2),r(1)])}),
   ("claim 2k 2a", Desk{crashes:1,timeouts:2,..Desk::new(2,[r(1).claiming(0),r(1).claiming(0)])}),
   ("claim 2k 3a", Desk{crashes:1,timeouts:1,..Desk::new(2,[r(1).claiming(0),r(1).claiming(0),r(1).claiming(0)])}),
   ("big 2k 1a", Desk{sweeps:1,crashes:1,timeouts:2,..Desk::new(2,[r(2)])}),
   ("big 3k 1a", Desk{sweeps:1,crashes:1,timeouts:1,..Desk::new(3,[r(2)])}),
   ("big 3k 1a 2s", Desk{sweeps:2,crashes:1,timeouts:1,..Desk::new(3,[r(2)])}),
   ("fresh 1a", Desk{sweeps:1,crashes:1,timeouts:1,..Desk::new(0,[r(2).fresh()])}),
   ("bigclaim 1", Desk{small_max:0,sweeps:1,timeouts:1,draws_max:1,stale_index:false,..Desk::new(2,[r(1).claiming(0),r(1).claiming(0)])}),
   ("big 2k 2a", Desk{sweeps:1,timeouts:1,draws_max:1,..Desk::new(2,[r(2),r(1)])}),
   ("big 3k 2a", Desk{sweeps:1,timeouts:0,..Desk::new(3,[r(2),r(1)])}),
  ];
  let mut rules: Vec<Vec<Rule>> = [ChecksVersion,ChecksStatus,KnowsOwnSale,KnowsOwnReservation,SellsInOneTransaction,CommitsLast,Fences,AbortsUnknownCommit,FinishesClaimInSale,SaleChecksAttempt,ReleaseChecksAttempt,ReleaseChecksState,ListsBeforeReserving,AppendsOnlyWhileReserving,ReplacesOnlyDefiniteMisses,CommitChecksState,AbortChecksState,MarkChecksOrder,UndoChecksOrder,UndoFences,AbortsBeforeReading,ReadsListConsistently,DeletesListLast,KeepsFinishedOrders,InsertsOnlyWhileReserving].into_iter().map(|r|vec![r]).collect();
  rules.push(vec![ChecksVersion,ChecksStatus]);
  rules.push(vec![ReleaseChecksAttempt,ReleaseChecksState]);
  let only=std::env::args().nth(1);
  for rs in rules { if only.as_ref().is_some_and(|o| !format!("{rs:?}").contains(o.as_str())) {continue}
   println!("{rs:?}");
   for (n,d) in &configs {
    let t=Instant::now();
    let c=d.clone().without(rs.clone()).checker().threads(1).finish_when(HasDiscoveries::AnyFailures).target_state_count(2_000_000).spawn_bfs().join();
    let f: Vec<_> = c.discoveries().into_iter().filter(|(n,_)| !["sells","refuses","fails","sells untold"].contains(n)).collect();
    if !f.is_empty() || c.state_count()>1990000 { println!("   {n}: {} {:?} {:?}", c.unique_state_count(), t.elapsed(), f.iter().map(|(n,p)|(n,p.clone().into_actions().len())).collect::<Vec<_>>());
      if only.is_some() { for (n,p) in f { println!("      {n}"); for a in p.into_actions(){println!("        {a:?}");} } }
    }
   }
  }
}
