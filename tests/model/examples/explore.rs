use keypool_model::{Desk,Request,Rule};
use stateright::{Checker,Model};
use std::time::Instant;
fn main(){
  let r=Request::of;
  let configs: Vec<(&str,Desk)> = vec![
   ("small 2k 2a", Desk{crashes:1,timeouts:2,..Desk::new(2,[r(1),r(1)])}),
   ("small2 3k 2a", Desk{small_max:2,crashes:1,timeouts:2,..Desk::new(3,[r(2),r(1)])}),
   ("claim 2k 2a", Desk{crashes:1,timeouts:2,..Desk::new(2,[r(1).claiming(0),r(1).claiming(0)])}),
   ("claim 2k 3a", Desk{crashes:1,timeouts:1,stale_index:false,..Desk::new(2,[r(1).claiming(0),r(1).claiming(0),r(1)])}),
   ("big 2k 1a sweep1", Desk{sweeps:1,crashes:1,timeouts:1,..Desk::new(2,[r(2)])}),
   ("big 3k 1a sweep1", Desk{sweeps:1,crashes:1,timeouts:1,..Desk::new(3,[r(2)])}),
   ("big 2k 2a", Desk{sweeps:1,crashes:1,timeouts:1,..Desk::new(2,[r(2),r(1)])}),
   ("fresh 1a", Desk{sweeps:2,crashes:1,timeouts:1,..Desk::new(0,[r(2).fresh()])}),
   ("bigclaimA 1k", Desk{small_max:0,sweeps:1,timeouts:1,draws_max:1,stale_index:false,..Desk::new(1,[r(1).claiming(0),r(1).claiming(0)])}),
   ("bigclaimB 2k", Desk{small_max:0,sweeps:1,timeouts:1,draws_max:1,stale_index:false,..Desk::new(2,[r(1).claiming(0),r(1).claiming(0)])}),
   ("bigclaimC 2k 2a", Desk{sweeps:1,draws_max:1,stale_index:false,..Desk::new(2,[r(2).claiming(0),r(2).claiming(0)])}),
   ("bigclaimD 2k 2a", Desk{sweeps:1,crashes:1,draws_max:1,stale_index:false,..Desk::new(2,[r(2).claiming(0),r(2).claiming(0)])}),
   ("two big 3k", Desk{sweeps:1,timeouts:0,draws_max:2,stale_index:false,..Desk::new(3,[r(2),r(2)])}),
   ("stepback 3k", Desk{sweeps:1,timeouts:0,draws_max:2,stale_index:false,steps_back:true,..Desk::new(3,[r(2),r(2)])}),
   ("stepback2 3k", Desk{sweeps:1,timeouts:1,draws_max:2,steps_back:true,..Desk::new(3,[r(2)])}),
  ];
  let only=std::env::args().nth(1);
  for (n,d) in configs { if only.as_ref().is_some_and(|o| !n.contains(o.as_str())) {continue}
    let t=Instant::now();
    let c=d.checker().threads(1).target_state_count(12_000_000).spawn_bfs().join();
    println!("{n}: unique {} total {} depth {} {:?} done {}", c.unique_state_count(), c.state_count(), c.max_depth(), t.elapsed(), c.is_done());
    for (name,p) in c.discoveries(){ println!("   {name}: {}", p.clone().into_actions().len());
      if !["sells","refuses","fails","sells untold"].contains(&name) { for a in p.into_actions(){println!("        {a:?}");} } }
  }
}
