// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {Amendments} from "../../contracts/Amendments.sol";
import {Awards} from "../../contracts/Awards.sol";
import {Book} from "../../contracts/Book.sol";
import {Credits} from "../../contracts/Credits.sol";
import {Directory} from "../../contracts/Directory.sol";
import {Escrow} from "../../contracts/Escrow.sol";
import {Inventory} from "../../contracts/Inventory.sol";
import {Leases} from "../../contracts/Leases.sol";
import {Members} from "../../contracts/Members.sol";
import {Orders} from "../../contracts/Orders.sol";
import {Settlement} from "../../contracts/Settlement.sol";
import {EnglishAuction} from "../../contracts/auctions/EnglishAuction.sol";
import {Ranking} from "../../contracts/auctions/Ranking.sol";
import {SealedTender} from "../../contracts/auctions/SealedTender.sol";
import {IAmendments} from "../../contracts/interfaces/IAmendments.sol";
import {IBook} from "../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../contracts/interfaces/ILeases.sol";
import {IMembers, Roles} from "../../contracts/interfaces/IMembers.sol";
import {IVerdicts} from "../../contracts/interfaces/IVerdicts.sol";
import {OfferId, OrgId, ResourceId, SlaId, Spec, Window} from "../../contracts/interfaces/Types.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @notice A whole exchange, deployed as `chain/deploy.py` deploys it, with a council, two sellers and two buyers.
abstract contract Exchange is Test {
    uint32 internal constant SLOT = 3600;
    uint32 internal constant TURNAROUND = 2;
    bytes32 internal constant CLASS = "bm.large";
    bytes32 internal constant SITE = "hall-1";
    uint64 internal constant RATE = 3_000_000;
    OrgId internal constant HOME = OrgId.wrap(0);
    SlaId internal constant NO_SLA = SlaId.wrap(0);

    address internal council = makeAddr("council");
    address internal north = makeAddr("north");
    address internal south = makeAddr("south");
    address internal buyer = makeAddr("buyer");
    address internal rival = makeAddr("rival");

    OrgId internal northOrg;
    OrgId internal southOrg;
    OrgId internal buyerOrg;
    OrgId internal rivalOrg;

    Directory internal directory;
    TimelockController internal timelock;
    Members internal members;
    Credits internal credits;
    Escrow internal escrow;
    Inventory internal inventory;
    Settlement internal settlement;
    Leases internal leases;
    Awards internal awards;
    Book internal book;
    Ranking internal ranking;
    SealedTender internal tender;
    Amendments internal amendments;
    EnglishAuction internal english;
    Orders internal orders;

    function setUp() public virtual {
        vm.warp(1_800_000_000); // a whole slot
        _deploy();
        northOrg = _admit("north", north, Roles.SELLER, 0);
        southOrg = _admit("south", south, Roles.SELLER, 0);
        buyerOrg = _admit("buyer", buyer, Roles.BUYER, 0);
        rivalOrg = _admit("rival", rival, Roles.BUYER, 0);
        _fund(northOrg, north, 1_000_000_000);
        _fund(southOrg, south, 1_000_000_000);
        _fund(buyerOrg, buyer, 1_000_000_000);
        _fund(rivalOrg, rival, 1_000_000_000);
    }

    function _terms() internal pure returns (ILeases.Terms memory) {
        return ILeases.Terms({
            signTime: 900,
            fenceTime: 900,
            deliverTime: 3600,
            acceptTime: 1800,
            wipeTime: 7200,
            notice: 3600,
            defaultPpm: 200_000,
            signMissPpm: 100_000,
            reservePpm: 50_000,
            wipePpm: 100_000,
            epoch: 3600,
            rounds: 60,
            seatFee: 1001,
            seats: 5
        });
    }

    function _amendmentTerms() internal pure returns (IAmendments.Terms memory) {
        return IAmendments.Terms({reclaimNotice: 7200, reclaimPpm: 100_000});
    }

    function _deploy() internal {
        directory = new Directory(council);
        members = new Members(directory);
        credits = new Credits(directory);
        escrow = new Escrow(directory, credits, members);
        inventory = new Inventory(directory, members, SLOT);
        settlement = new Settlement(directory, escrow, 60);
        leases = new Leases(directory, members, inventory, settlement, _terms(), 0);
        awards = new Awards(directory, leases);
        book = new Book(directory, members, inventory, escrow, awards, 100, 1000);
        ranking = new Ranking(awards, inventory, members);
        tender = new SealedTender(
            directory, members, inventory, escrow, book, awards, ranking, address(settlement), 10_000
        );
        // Without witnesses there are no verdicts to ask.
        amendments =
            new Amendments(directory, members, book, awards, IVerdicts(address(0)), _amendmentTerms());
        english = new EnglishAuction(
            directory, members, inventory, escrow, book, awards, address(settlement), 10_000
        );

        orders = new Orders(members, inventory, awards);

        directory.publish("Members", address(members));
        directory.publish("Credits", address(credits));
        directory.publish("Escrow", address(escrow));
        directory.publish("Inventory", address(inventory));
        directory.publish("Settlement", address(settlement));
        directory.publish("Leases", address(leases));
        directory.publish("Awards", address(awards));
        directory.publish("Book", address(book));
        directory.publish("Ranking", address(ranking));
        directory.publish("SealedTender", address(tender));
        directory.publish("Amendments", address(amendments));
        directory.publish("EnglishAuction", address(english));
        directory.publish("Orders", address(orders));

        directory.setRight(address(escrow), Rights.MEMBERS_CHARGE, true);
        directory.setRight(address(settlement), Rights.ESCROW_MOVE, true);
        directory.setRight(address(book), Rights.ESCROW_MOVE, true);
        directory.setRight(address(tender), Rights.ESCROW_MOVE, true);
        directory.setRight(address(english), Rights.ESCROW_MOVE, true);
        directory.setRight(address(leases), Rights.INVENTORY_BOOK, true);
        directory.setRight(address(leases), Rights.SETTLEMENT_REPORT, true);
        directory.setRight(address(awards), Rights.LEASES_OPEN, true);
        directory.setRight(address(book), Rights.AWARDS_OPEN, true);
        directory.setRight(address(tender), Rights.AWARDS_OPEN, true);
        directory.setRight(address(english), Rights.AWARDS_OPEN, true);
        directory.setRight(address(orders), Rights.AWARDS_OPEN, true);
        directory.setRight(address(tender), Rights.BOOK_RECORD, true);
        directory.setRight(address(amendments), Rights.AWARDS_OPEN, true);
        directory.setRight(address(amendments), Rights.LEASES_AMEND, true);
        directory.setRight(address(awards), Rights.LEASES_AMEND, true);
        directory.setRight(address(english), Rights.BOOK_FREEZE, true);

        address[] memory proposers = new address[](1);
        proposers[0] = council;
        timelock = new TimelockController(1 days, proposers, proposers, address(0));
        directory.setTimelock(address(timelock));
    }

    function _admit(bytes32 handle, address admin, uint8 roles, uint32 group) internal returns (OrgId) {
        vm.prank(council);
        return members.admit(handle, admin, roles, group);
    }

    function _fund(OrgId org, address admin, uint256 amount) internal {
        vm.prank(council);
        credits.mint(admin, amount, "test");
        vm.startPrank(admin);
        credits.approve(address(escrow), amount);
        escrow.deposit(org, amount);
        vm.stopPrank();
    }

    function _spec() internal pure returns (Spec memory) {
        return Spec(64, 1_048_576, 480, 0, 25_000);
    }

    /// @dev Registers one machine; `key` makes its hardware unique.
    function _register(address seller, uint256 key) internal returns (ResourceId) {
        vm.prank(seller);
        return inventory.register(HOME, CLASS, SITE, _spec(), TURNAROUND, keccak256("document"), bytes32(key));
    }

    function _now() internal view returns (uint32) {
        return uint32(block.timestamp / SLOT);
    }

    /// @dev `[from, from + slots)`, counted from the current slot.
    function _window(uint32 from, uint32 slots) internal view returns (Window memory) {
        return Window(_now() + from, _now() + from + slots);
    }

    function _offer(address seller, ResourceId[] memory resources, Window memory window, uint64 buyNowRate)
        internal
        returns (OfferId)
    {
        vm.prank(seller);
        return book.publish(HOME, IBook.OfferTerms(window, RATE, buyNowRate, 1, NO_SLA, 0), resources);
    }

    function _list(ResourceId a) internal pure returns (ResourceId[] memory list) {
        list = new ResourceId[](1);
        list[0] = a;
    }

    function _list(ResourceId a, ResourceId b) internal pure returns (ResourceId[] memory list) {
        list = new ResourceId[](2);
        (list[0], list[1]) = (a, b);
    }

    /// @dev What an account hears that acts for an organisation it has no rights in.
    function _notOf(OrgId org, address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IMembers.Members_NotOf.selector, org, account);
    }
}
